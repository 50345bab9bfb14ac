"""Choosing which blocks to keep: learned masks, rivals, and the surgery that follows a plan."""
