"""Measure what models cost, as a run."""

from __future__ import annotations

from typing import Any

from tinylab.config import CostConfig
from tinylab.runs.context import JobContext
from tinylab.runs.jobs.cost.measure import measure_costs

__all__ = ["run"]


def run(config: CostConfig, context: JobContext) -> dict[str, Any]:
    """What `measure_costs` finds; a run that was stopped begins anew, because only what one process timed compares."""
    return measure_costs(config, context.progress, context.should_stop)
