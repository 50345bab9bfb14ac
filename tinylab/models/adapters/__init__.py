"""Transformers of the diffusers library, made ready to be gated and cut: see `adapt` and `load_adapted`."""

from tinylab.models.adapters.adapted import AdaptedTransformer, adapt
from tinylab.models.adapters.load import load_adapted

__all__ = ["AdaptedTransformer", "adapt", "load_adapted"]
