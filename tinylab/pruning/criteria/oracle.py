"""The fixed choice of BK-SDM (Kim et al. 2023, arXiv:2305.15798), as the TinyFusion paper applies it to DiTs."""

from __future__ import annotations

from collections.abc import Mapping

from tinylab.errors import BadRequest
from tinylab.pruning.criteria.base import Choice, Request

__all__ = ["check_keep", "choose", "oracle_indices"]


def oracle_indices(depth: int) -> tuple[int, ...]:
    """The first of each pair in the first half of the blocks, the last of each pair in the second half."""
    pairs = range(0, depth - 1, 2)
    return tuple(first if first < depth // 2 else first + 1 for first in pairs)


def check_keep(keep: int, depth: Mapping[str, int]) -> None:
    """BadRequest unless `keep` is half of every stack."""
    half = sum(count // 2 for count in depth.values())
    if keep != half:
        raise BadRequest(f"method 'oracle' keeps exactly half of the blocks; use --keep {half}")


def choose(request: Request) -> Choice:
    """Half of every stack; BadRequest for any other number of blocks."""
    check_keep(request.keep, request.depth)
    return Choice({stack: oracle_indices(count) for stack, count in request.depth.items()})
