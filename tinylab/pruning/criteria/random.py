"""Random blocks: the control that every other method must beat."""

from __future__ import annotations

import random

from tinylab.pruning.criteria.base import Choice, Request

__all__ = ["choose"]


def choose(request: Request) -> Choice:
    """A uniform choice among all that leave no stack empty, the same for the same seed."""
    everything = [(stack, i) for stack, count in request.depth.items() for i in range(count)]
    generator = random.Random(request.seed)
    while True:
        chosen = generator.sample(everything, request.keep)
        kept = {stack: tuple(sorted(i for s, i in chosen if s == stack)) for stack in request.depth}
        if all(kept.values()):
            return Choice(kept)
