"""Choices by place alone: the first blocks, evenly spaced ones, all but a span in the middle. They need nothing.

Places count within every group; where one budget holds for several stacks, each of them keeps its share.
"""

from collections.abc import Callable, Collection, Mapping

from tinylab.errors import BadRequest
from tinylab.pruning.criteria.base import Choice, Request, by_stack
from tinylab.pruning.criteria.budget import respects
from tinylab.pruning.layout import Block, Layout
from tinylab.pruning.plan import DepthPlan, block_names

__all__ = [
    "check_layout",
    "choose_contiguous",
    "choose_even",
    "choose_first",
    "choose_indices",
    "choose_oracle",
    "oracle_indices",
    "shares",
]

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


def choose_indices(request: Request) -> Choice:
    """The given indices; BadRequest if there are none, they do not exist or are not what the layout asks for."""
    if not request.indices:
        names = [name for several in block_names(request.depth).values() for name in several]
        raise BadRequest(f"method 'indices' needs --indices, such as {names[0]},{names[-1]}")
    kept = DepthPlan.of(request.indices, request.depth, "indices").kept
    if not respects(request.layout, kept):
        raise BadRequest(f"--indices do not keep what {request.layout} asks for; name other blocks or another pattern")
    return Choice(kept)


def oracle_indices(depth: int) -> tuple[int, ...]:
    """The first of each pair in the first half of the blocks, the last of each pair in the second half."""
    pairs = range(0, depth - 1, 2)
    return tuple(first if first < depth // 2 else first + 1 for first in pairs)


def check_layout(layout: Layout) -> None:
    """BadRequest unless the choice, one block of every pair, is what the layout asks for.

    It is for half of all blocks, and for all groups of whole pairs that keep half: 1:2, 2:4, 6:12, but not 3:6 of a
    stack that begins with 1:3.
    """
    kept = _half_of_pairs(layout.depth)
    if not respects(layout, kept) or not all(kept.values()):
        half = sum(map(len, kept.values()))
        even = not any(count % 2 for count in layout.depth.values())
        instead = f"use --keep {half}" + (" or --pattern 1:2" if even else "")
        raise BadRequest(
            f"method 'oracle' keeps exactly half of the blocks, one of every pair, not {layout}; {instead}"
        )


def choose_oracle(request: Request) -> Choice:
    """Half of every stack; BadRequest for anything else, and where a block must stay that it leaves out."""
    check_layout(request.layout)
    kept = _half_of_pairs(request.depth)
    if not request.allows(kept):
        raise BadRequest("method 'oracle' leaves out a block that must stay in this model; use another method")
    return Choice(kept)


def _half_of_pairs(depth: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    return {stack: oracle_indices(count) for stack, count in depth.items()}
