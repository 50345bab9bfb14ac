"""Greedy removal and beam search: leave out the block that costs the loss least, measure the rest again, and so on."""

from tinylab.pruning.criteria.base import Choice, Request, by_stack
from tinylab.pruning.criteria.calibration import Calibration

__all__ = ["choose_beam", "choose_greedy"]

_WIDTH = 4  # candidates that a beam follows


def choose_greedy(request: Request) -> Choice:
    """Remove one block after the other, each time the one without which the loss is smallest.

    A group from which enough was removed is closed.
    """
    return _search(request, width=1)


def choose_beam(request: Request) -> Choice:
    """The same with the best few candidates followed side by side."""
    return _search(request, width=_WIDTH)


def _search(request: Request, width: int) -> Choice:
    everything = frozenset(request.blocks)
    removals = len(everything) - sum(group.keep for group in request.layout.groups)
    runs = sum((1 if k == 0 else width) * (len(everything) - k) for k in range(removals))  # at most
    calibration = Calibration(request, runs)
    candidates = [everything]
    for _ in range(removals):
        smaller = {candidate - {block} for candidate in candidates for block in candidate}
        allowed = [candidate for candidate in smaller if request.allows(by_stack(request, candidate))]
        allowed.sort(key=lambda candidate: (calibration.loss(by_stack(request, candidate)), sorted(candidate)))
        candidates = allowed[:width]
    return Choice(by_stack(request, candidates[0]))
