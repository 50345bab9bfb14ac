"""Jobs as processes that write run folders, and the store that lists, starts, stops and resumes them."""
