"""Evolutionary search (EvoPress: Sieberling et al. 2024, arXiv:2410.14649): swaps, offspring, selection by loss."""

from __future__ import annotations

import random

from tinylab.pruning.criteria.base import Choice, Request, by_stack
from tinylab.pruning.criteria.calibration import Calibration
from tinylab.pruning.criteria.of_random import draw

__all__ = ["choose"]

_START, _GENERATIONS, _OFFSPRING = 8, 12, 8


def choose(request: Request) -> Choice:
    """From the best of a few random choices, swap kept and dropped blocks; the best of parent and children lives."""
    generator = random.Random(request.seed)
    calibration = Calibration(request, looks=_START + _GENERATIONS * _OFFSPRING)
    parent = min((draw(request, generator) for _ in range(_START)), key=calibration.loss)
    for _ in range(_GENERATIONS):
        children = [_mutated(request, parent, generator) for _ in range(_OFFSPRING)]
        parent = min([*children, parent], key=calibration.loss)
    return Choice(parent)


def _mutated(
    request: Request, kept: dict[str, tuple[int, ...]], generator: random.Random
) -> dict[str, tuple[int, ...]]:
    """One or two random swaps of a kept block and a dropped one, anywhere."""
    inside = {(stack, i) for stack, several in kept.items() for i in several}
    while True:
        changed = set(inside)
        for _ in range(generator.choice((1, 1, 2))):
            outside = sorted(set(request.blocks) - changed)
            changed.remove(generator.choice(sorted(changed)))
            changed.add(generator.choice(outside))
        found = by_stack(request, changed)
        if request.allows(found) and changed != inside:
            return found
