"""Warm starts: what is done to the weights of a cut model before it is trained on. One file each."""

from tinylab.training.warm_starts.base import WarmStartRule, WarmUp

__all__ = ["WarmStartRule", "WarmUp"]
