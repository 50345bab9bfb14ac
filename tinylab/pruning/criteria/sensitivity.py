"""Sensitivity: how much worse the loss is without a block, one block at a time."""

from __future__ import annotations

from tinylab.pruning.criteria.base import Choice, Request, keep_highest
from tinylab.pruning.criteria.calibration import Calibration

__all__ = ["choose", "without"]


def choose(request: Request) -> Choice:
    """Keep the blocks whose absence costs most: loss without the block - loss of the full model."""
    calibration = Calibration(request, looks=1 + len(request.blocks))
    full = calibration.loss(without(request))
    scores = {
        stack: [calibration.loss(without(request, (stack, i))) - full for i in range(count)]
        for stack, count in request.depth.items()
    }
    return keep_highest(request, scores)


def without(request: Request, *blocks: tuple[str, int]) -> dict[str, list[int]]:
    """All blocks but some, per stack."""
    return {stack: [i for i in range(n) if (stack, i) not in blocks] for stack, n in request.depth.items()}
