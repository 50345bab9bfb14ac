"""The best, the median and the worst of random choices by calibration loss: low loss does not mean recoverable."""

import random

from tinylab.pruning.criteria.base import Choice, Request, by_stack
from tinylab.pruning.criteria.calibration import Calibration
from tinylab.pruning.layout import Block, Group

__all__ = ["choose_best", "choose_median", "choose_random", "choose_worst", "draw"]


def choose_best(request: Request) -> Choice:
    """The one with the smallest loss right after the cut."""
    return _ranked(request)[0]


def choose_median(request: Request) -> Choice:
    """The one in the middle, of two the better."""
    ranked = _ranked(request)
    return ranked[(len(ranked) - 1) // 2]


def choose_worst(request: Request) -> Choice:
    """The one with the largest loss."""
    return _ranked(request)[-1]


def draw(request: Request, generator: random.Random) -> dict[str, tuple[int, ...]]:
    """A uniform choice among all that the layout allows."""
    return by_stack(request, [block for group in request.layout.groups for block in _drawn(request, group, generator)])


def _drawn(request: Request, group: Group, generator: random.Random) -> list[Block]:
    """The blocks that stay of one group: drawn again until they leave no stack empty and all protected ones in."""
    fixed = set(request.fixed(group))
    whole = [s for s in request.depth if sum(stack == s for stack, _ in group.blocks) == request.depth[s]]
    while True:
        chosen = generator.sample(group.blocks, group.keep)
        if fixed <= set(chosen) and set(whole) <= {stack for stack, _ in chosen}:
            return chosen


def _ranked(request: Request) -> list[Choice]:
    generator = random.Random(request.seed)
    calibration = Calibration(request, request.draws)
    choices = [draw(request, generator) for _ in range(request.draws)]
    return [Choice(kept) for kept in sorted(choices, key=calibration.loss)]


def choose_random(request: Request) -> Choice:
    """A uniform choice among all that the layout allows, the same for the same seed."""
    return Choice(draw(request, random.Random(request.seed)))
