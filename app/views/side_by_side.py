"""Several runs beside each other: what they are, which settings differ, and what came of them, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.access.run_ids import UNREADABLE
from app.views.names import STATES, when
from app.views.runs import differing, name_of
from tinylab.config import kind_of
from tinylab.pruning.plan import DepthPlan
from tinylab.reports import Column, Row, Table
from tinylab.reports.names import duration
from tinylab.runs.run import Run

__all__ = ["MOST", "side_by_side_table"]

MOST = 8  # runs beside each other
_NOTHING = "–"
_RESULTS: Mapping[str, str] = {
    "loss_full": "Held-out loss, full model",
    "loss_pruned": "Held-out loss after the cut",
    "loss_finetuned": "Held-out loss, fine-tuned",
    "parameters": "Weights",
    "parameters_full": "Weights of the full model",
}
_CURVES: Mapping[str, str] = {
    "loss": "Last training loss",
    "kernel_distance": "Distance from real digits",
    "read_correctly": "Read correctly",
}


def side_by_side_table(runs: Sequence[Run]) -> Table:
    """A column for each run, a row for each thing that tells them apart, settings first, then results."""
    configs, states = [run.config() for run in runs], [run.status() for run in runs]
    rows = [
        ("Kind", [kind_of(config).title for config in configs]),
        ("State", [STATES.get(status.state, status.state) for status in states]),
        ("Begun", [when(status.created) for status in states]),
        ("Computed for", [duration(status.seconds) for status in states]),
        *differing(configs),
        ("Blocks that stay", [_kept(run) for run in runs]),
        *_results(runs),
    ]
    told = [Row((words, *values)) for words, values in rows if set(values) != {_NOTHING}]
    columns = (Column("what", ""), *(Column(f"run_{i}", name_of(run), hint=run.id) for i, run in enumerate(runs)))
    return Table("together", "These runs beside each other", columns, tuple(told))


def _results(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Numbers of the results that any of the runs has, and the newest ones of its curves."""
    results, curves = [_read(run.result) for run in runs], [_read(run.metrics().last_scalars) for run in runs]
    plain = {name: name.replace("_", " ").capitalize() for result in results for name in result} | dict(_RESULTS)
    ordered = [*_RESULTS, *(name for name in plain if name not in _RESULTS)]
    rows = [(plain[name], [_number(result.get(name)) for result in results]) for name in ordered]
    return rows + [(words, [_number(curve.get(name)) for curve in curves]) for name, words in _CURVES.items()]


def _read(read: Any) -> dict[str, Any]:
    try:
        return read()
    except UNREADABLE:
        return {}


def _kept(run: Run) -> str:
    try:
        return " ".join(DepthPlan.load(run.plan_path).kept_names) if run.plan_path.is_file() else _NOTHING
    except UNREADABLE:
        return _NOTHING


def _number(value: Any) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
