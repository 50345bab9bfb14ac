"""The best, the median and the worst of random choices by calibration loss: low loss does not mean recoverable."""

from __future__ import annotations

import random

from tinylab.pruning.criteria.base import Choice, Request, by_stack
from tinylab.pruning.criteria.calibration import Calibration

__all__ = ["DRAWS", "choose_best", "choose_median", "choose_worst", "draw"]

DRAWS = 32  # random choices that are looked at


def choose_best(request: Request) -> Choice:
    """The one with the smallest loss right after the cut."""
    return _ranked(request)[0]


def choose_median(request: Request) -> Choice:
    """The one in the middle."""
    ranked = _ranked(request)
    return ranked[(len(ranked) - 1) // 2]


def choose_worst(request: Request) -> Choice:
    """The one with the largest loss."""
    return _ranked(request)[-1]


def draw(request: Request, generator: random.Random) -> dict[str, tuple[int, ...]]:
    """A uniform choice of `keep` blocks among all that are allowed."""
    while True:
        kept = by_stack(request, generator.sample(request.blocks, request.keep))
        if request.allows(kept):
            return kept


def _ranked(request: Request) -> list[Choice]:
    generator = random.Random(request.seed)
    calibration = Calibration(request, DRAWS)
    choices = [draw(request, generator) for _ in range(DRAWS)]
    return [Choice(kept) for kept in sorted(choices, key=calibration.loss)]
