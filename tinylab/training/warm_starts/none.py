"""No warm start."""

from __future__ import annotations

from tinylab.training.warm_starts.base import WarmUp

__all__ = ["start"]


def start(given: WarmUp) -> None:
    """The student keeps the weights of its blocks in the teacher."""
