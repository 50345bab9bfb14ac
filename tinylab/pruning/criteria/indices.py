"""The blocks that a person names."""

from __future__ import annotations

from tinylab.errors import BadRequest
from tinylab.pruning.criteria.base import Choice, Request
from tinylab.pruning.criteria.budget import respects
from tinylab.pruning.plan import DepthPlan, block_names

__all__ = ["choose"]


def choose(request: Request) -> Choice:
    """The given indices; BadRequest if there are none, they do not exist or are not what the layout asks for."""
    if not request.indices:
        names = [name for several in block_names(request.depth).values() for name in several]
        raise BadRequest(f"method 'indices' needs --indices, such as {names[0]},{names[-1]}")
    kept = DepthPlan.of(request.indices, request.depth, "indices").kept
    if not respects(request.layout, kept):
        raise BadRequest(f"--indices do not keep what {request.layout} asks for; name other blocks or another pattern")
    return Choice(kept)
