"""The blocks that a person names."""

from __future__ import annotations

from tinylab.errors import BadRequest
from tinylab.pruning.criteria.base import Choice, Request
from tinylab.pruning.plan import DepthPlan

__all__ = ["choose"]


def choose(request: Request) -> Choice:
    """The given indices; BadRequest if there are none or they do not exist."""
    if not request.indices:
        last = sum(request.depth.values()) - 1
        raise BadRequest(f"method 'indices' needs --indices: blocks from 0 to {last}, such as 0,2,{last}")
    return Choice(DepthPlan.of(request.indices, request.depth, "indices").kept)
