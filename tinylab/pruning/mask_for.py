"""The mask distribution that a layout asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from tinylab.errors import BadRequest
from tinylab.pruning.budget_mask import BudgetMask, whole_costs
from tinylab.pruning.depth_mask import DepthMask, MaskDistribution
from tinylab.pruning.layout import Layout

__all__ = ["mask_for"]


def mask_for(
    layout: Layout,
    scaling: float,
    *,
    protected: Mapping[str, Collection[int]] | None = None,
    seconds: Mapping[str, Sequence[float]] | None = None,
) -> MaskDistribution:
    """A categorical for every local group, or a logit for every block under a global budget.

    Args:
        seconds: measured time of every block per stack, for a budget of time.

    Raises:
        BadRequest: nothing fits; a budget of time without measured times.
    """
    if not layout.is_global:
        return DepthMask(layout, scaling, protected=protected)
    if layout.time is None:
        return BudgetMask(layout, scaling, protected=protected)
    if seconds is None:
        raise BadRequest(f"{layout} needs the measured time of every block")
    costs = whole_costs([seconds[stack][i] for stack, i in layout.groups[0].blocks])
    return BudgetMask(layout, scaling, costs=costs, protected=protected)
