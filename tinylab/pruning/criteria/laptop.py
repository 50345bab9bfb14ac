"""LAPTOP-Diff (Zhang et al. 2024, arXiv:2404.11098): how far the output moves without a block.

The paper takes the costs of single blocks as additive and fills a budget of weights, a knapsack. Here the budget is a
number of blocks, for which taking the costliest first is the exact answer.
"""

from __future__ import annotations

from tinylab.pruning.criteria.base import Choice, Request, keep_highest
from tinylab.pruning.criteria.calibration import Calibration
from tinylab.pruning.criteria.sensitivity import without

__all__ = ["choose"]


def choose(request: Request) -> Choice:
    """Keep the blocks without which the output moves most: E ‖output without the block - output‖². Needs no labels."""
    calibration = Calibration(request, looks=1 + len(request.blocks))
    full = calibration.outputs(without(request))

    def moved(block: tuple[str, int]) -> float:
        pairs = zip(calibration.outputs(without(request, block)), full, strict=True)
        gaps = [(a - b).double().square().flatten(1).sum(dim=1) for a, b in pairs]
        return sum(gap.sum().item() for gap in gaps) / sum(len(gap) for gap in gaps)

    scores = {stack: [moved((stack, i)) for i in range(count)] for stack, count in request.depth.items()}
    return keep_highest(request, scores)
