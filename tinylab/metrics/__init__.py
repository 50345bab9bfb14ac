"""Measuring models: loss on held-out images, how well samples read, what an image costs."""
