"""Choices by place alone: the first blocks, evenly spaced ones, all but a span in the middle. They need nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tinylab.pruning.criteria.base import Choice, Request

__all__ = ["choose_contiguous", "choose_even", "choose_first", "shares"]


def choose_first(request: Request) -> Choice:
    """The first blocks of every stack."""
    return _choose(request, lambda count, keep: range(keep))


def choose_even(request: Request) -> Choice:
    """Evenly spaced blocks of every stack, the first and the last among them."""
    return _choose(request, _evenly)


def choose_contiguous(request: Request) -> Choice:
    """All but one span: as many blocks from the front as from the back, the front having one more if need be."""
    return _choose(request, lambda count, keep: [*range(-(-keep // 2)), *range(count - keep // 2, count)])


def shares(depth: Mapping[str, int], keep: int) -> dict[str, int]:
    """How many blocks each stack keeps: in proportion to its length, at least one, `keep` in all."""
    total, parts, left = sum(depth.values()), {}, keep
    for place, (stack, count) in enumerate(depth.items(), start=1):
        rest = len(depth) - place
        parts[stack] = left if not rest else min(left - rest, count, max(1, round(keep * count / total)))
        left -= parts[stack]
    return parts


def _evenly(count: int, keep: int) -> list[int]:
    return [0] if keep == 1 else [round(i * (count - 1) / (keep - 1)) for i in range(keep)]


def _choose(request: Request, places: Callable) -> Choice:
    parts = shares(request.depth, request.keep)
    kept = {}
    for stack, count in request.depth.items():
        fixed = sorted(request.protected.get(stack, ()))
        others = [i for i in places(count, parts[stack]) if i not in fixed][: max(0, parts[stack] - len(fixed))]
        kept[stack] = tuple(sorted([*fixed, *others]))
    return Choice(kept)
