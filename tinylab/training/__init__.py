"""One loop, and the tasks it trains: a denoiser, a mask search, a digit reader."""
