"""The fixed choice of BK-SDM (Kim et al. 2023, arXiv:2305.15798), as the TinyFusion paper applies it to DiTs."""

from __future__ import annotations

from collections.abc import Mapping

from tinylab.errors import BadRequest
from tinylab.pruning.criteria.base import Choice, Request
from tinylab.pruning.criteria.budget import respects
from tinylab.pruning.layout import Layout

__all__ = ["check_layout", "choose", "oracle_indices"]


def oracle_indices(depth: int) -> tuple[int, ...]:
    """The first of each pair in the first half of the blocks, the last of each pair in the second half."""
    pairs = range(0, depth - 1, 2)
    return tuple(first if first < depth // 2 else first + 1 for first in pairs)


def check_layout(layout: Layout) -> None:
    """BadRequest unless the choice, one block of every pair, is what the layout asks for.

    It is for half of all blocks, and for all groups of whole pairs that keep half: 1:2, 2:4, 6:12, but not 3:6 of a
    stack that begins with 1:3.
    """
    kept = _choice(layout.depth)
    if not respects(layout, kept) or not all(kept.values()):
        half = sum(map(len, kept.values()))
        even = not any(count % 2 for count in layout.depth.values())
        mend = f"use --keep {half}" + (" or --pattern 1:2" if even else "")
        raise BadRequest(f"method 'oracle' keeps exactly half of the blocks, one of every pair, not {layout}; {mend}")


def choose(request: Request) -> Choice:
    """Half of every stack; BadRequest for anything else, and where a block must stay that it leaves out."""
    check_layout(request.layout)
    kept = _choice(request.depth)
    if not request.allows(kept):
        raise BadRequest("method 'oracle' leaves out a block that must stay in this model; use another method")
    return Choice(kept)


def _choice(depth: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    return {stack: oracle_indices(count) for stack, count in depth.items()}
