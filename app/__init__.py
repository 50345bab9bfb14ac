"""The lab in a browser. It computes nothing: it starts, stops and resumes runs, and shows what they write."""
