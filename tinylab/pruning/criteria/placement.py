"""Choices by place alone: the first blocks, evenly spaced ones, all but a span in the middle. They need nothing.

Places count within every group; where one budget holds for several stacks, each of them keeps its share.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from tinylab.pruning.criteria.base import Choice, Request, by_stack
from tinylab.pruning.layout import Block

__all__ = ["choose_contiguous", "choose_even", "choose_first", "shares"]

Places = Callable[[int, int], Collection[int]]  # of so many blocks keep so many -> their places


def choose_first(request: Request) -> Choice:
    """The first blocks of every stack or group."""
    return _choose(request, lambda count, keep: range(keep))


def choose_even(request: Request) -> Choice:
    """Evenly spaced blocks of every stack or group, the first and the last among them."""
    return _choose(request, _evenly)


def choose_contiguous(request: Request) -> Choice:
    """All but one span: as many blocks from the front as from the back, the front having one more if need be."""
    return _choose(request, lambda count, keep: [*range(-(-keep // 2)), *range(count - keep // 2, count)])


def shares(depth: Mapping[str, int], keep: int, least: Mapping[str, int] | None = None) -> dict[str, int]:
    """How many blocks each stack keeps: in proportion to its length, at least one (or `least`), `keep` in all."""
    total, parts, left = sum(depth.values()), {}, keep
    needed = {stack: max(1, (least or {}).get(stack, 0)) for stack in depth}
    later, later_needed = total, sum(needed.values())
    for stack, count in depth.items():
        later, later_needed = later - count, later_needed - needed[stack]
        low, high = max(needed[stack], left - later), min(count, left - later_needed)
        parts[stack] = min(max(round(keep * count / total), low), high)
        left -= parts[stack]
    return parts


def _evenly(count: int, keep: int) -> list[int]:
    return [0] if keep == 1 else [round(i * (count - 1) / (keep - 1)) for i in range(keep)]


def _choose(request: Request, places: Places) -> Choice:
    chosen: list[Block] = []
    for group in request.layout.groups:
        stacks: dict[str, list[Block]] = {}
        for block in group.blocks:
            stacks.setdefault(block[0], []).append(block)
        fixed = {stack: [block for block in request.fixed(group) if block[0] == stack] for stack in stacks}
        lengths, least = ({stack: len(several) for stack, several in part.items()} for part in (stacks, fixed))
        for stack, part in shares(lengths, group.keep, least).items():
            placed = [stacks[stack][place] for place in places(lengths[stack], part)]
            others = [block for block in placed if block not in fixed[stack]]
            chosen += [*fixed[stack], *others[: part - len(fixed[stack])]]
    return Choice(by_stack(request, chosen))
