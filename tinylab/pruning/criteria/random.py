"""Random blocks: the control that every other method must beat."""

from __future__ import annotations

import random

from tinylab.pruning.criteria.base import Choice, Request

__all__ = ["choose"]


def choose(request: Request) -> Choice:
    """A uniform choice over all blocks, the same for the same seed."""
    everything = [(stack, i) for stack, count in request.depth.items() for i in range(count)]
    chosen = random.Random(request.seed).sample(everything, request.keep)
    return Choice({stack: tuple(sorted(i for s, i in chosen if s == stack)) for stack in request.depth})
