"""Evolutionary search (EvoPress: Sieberling et al. 2024, arXiv:2410.14649): swaps, offspring, selection by loss."""

import random

from tinylab.pruning.criteria.base import Choice, Request, by_stack
from tinylab.pruning.criteria.calibration import Calibration
from tinylab.pruning.criteria.of_random import draw

__all__ = ["choose_evolution"]

_START, _GENERATIONS, _OFFSPRING = 8, 12, 8
_TRIALS = 100  # mutations that are tried before a parent counts as one that cannot change


def choose_evolution(request: Request) -> Choice:
    """From the best of a few random choices, swap kept and dropped blocks; the best of parent and children lives."""
    generator = random.Random(request.seed)
    calibration = Calibration(request, runs=_START + _GENERATIONS * _OFFSPRING)
    parent = min((draw(request, generator) for _ in range(_START)), key=calibration.loss)
    for _ in range(_GENERATIONS):
        children = [_mutated(request, parent, generator) for _ in range(_OFFSPRING)]
        parent = min([*children, parent], key=calibration.loss)
    return Choice(parent)


def _mutated(
    request: Request, kept: dict[str, tuple[int, ...]], generator: random.Random
) -> dict[str, tuple[int, ...]]:
    """One or two random swaps of a kept block and a dropped one of its group; `kept` itself if nothing can move."""
    groups = {block: group for group in request.layout.groups for block in group.blocks}
    inside = {(stack, i) for stack, several in kept.items() for i in several}
    for _ in range(_TRIALS):
        changed = set(inside)
        for _ in range(generator.choice((1, 1, 2))):
            gone = generator.choice(sorted(changed))
            outside = sorted(set(groups[gone].blocks) - changed)
            changed.remove(gone)
            changed.add(generator.choice(outside))
        found = by_stack(request, changed)
        if request.allows(found) and changed != inside:
            return found
    return kept
