"""Sensitivity: how much worse the loss is without a block, one block at a time."""

from tinylab.pruning.criteria.base import Choice, Request, keep_highest
from tinylab.pruning.criteria.calibration import Calibration

__all__ = ["choose_laptop", "choose_sensitivity", "without"]


def choose_sensitivity(request: Request) -> Choice:
    """Keep the blocks whose absence costs most: loss without the block - loss of the full model."""
    calibration = Calibration(request, runs=1 + len(request.blocks))
    full = calibration.loss(without(request))
    scores = {
        stack: [calibration.loss(without(request, (stack, i))) - full for i in range(count)]
        for stack, count in request.depth.items()
    }
    return keep_highest(request, scores)


def without(request: Request, *blocks: tuple[str, int]) -> dict[str, list[int]]:
    """All blocks but some, per stack."""
    return {stack: [i for i in range(n) if (stack, i) not in blocks] for stack, n in request.depth.items()}


def choose_laptop(request: Request) -> Choice:
    """Keep the blocks without which the output moves most: E ‖output without the block - output‖². Needs no labels."""
    calibration = Calibration(request, runs=1 + len(request.blocks))
    full = calibration.outputs(without(request))

    def moved(block: tuple[str, int]) -> float:
        pairs = zip(calibration.outputs(without(request, block)), full, strict=True)
        gaps = [(a - b).double().square().flatten(1).sum(dim=1) for a, b in pairs]
        return sum(gap.sum().item() for gap in gaps) / sum(len(gap) for gap in gaps)

    scores = {stack: [moved((stack, i)) for i in range(count)] for stack, count in request.depth.items()}
    return keep_highest(request, scores)
