"""Timings that matter to people who wait: both sides always in turn, in one process, as ratios."""
