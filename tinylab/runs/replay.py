"""A run as it was at some time of its computation, so that it can be watched again."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinylab.config import kind_of
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import Run, Status

__all__ = ["AT_REST", "MOST_REPLAY_STEPS", "RunAtStep", "replay_steps", "run_at", "standard_error"]


def standard_error(values: Sequence[float]) -> float | None:
    """Sample standard deviation over the root of their number; None for fewer than two."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


MOST_REPLAY_STEPS = 120
AT_REST = ("stopped", "finished", "failed", "interrupted")
_BEFORE = "warm-start/"  # metrics of a part that was over before the first step
_Row = Mapping[str, Any]


class RunAtStep(Run):
    """A run as it was after a step, before its end: nothing in it is of a later time.

    When which step was done is not stored, so its seconds are in proportion to its steps.
    """

    def __init__(self, run: Run, step: int) -> None:
        super().__init__(run.path)
        self.step = step

    def stored_status(self) -> Status:
        """At work at that step."""
        return self._status_after(super().stored_status(), self.step)

    def status(self) -> Status:
        """At work at that step; there is no process to look for."""
        return self.stored_status()

    def result(self) -> dict[str, Any]:
        """Nothing was found yet."""
        return {}

    def metrics(self) -> MetricsReader:
        """What it had measured by then."""
        return MetricsReader(self.metrics_path, self.step, spare=_BEFORE)

    def snapshots(self) -> list[Path]:
        """The pictures that were drawn by then."""
        return [path for path in super().snapshots() if int(path.stem) <= self.step]

    def activations(self) -> dict[str, Any]:
        """A job measures them when it is over."""
        return {}

    @staticmethod
    def _status_after(whole: Status, step: int) -> Status:
        pace = whole.seconds / whole.step if whole.step else 0.0
        left = pace * max(0, whole.steps - step)
        return replace(whole, state="running", message="", step=step, seconds=pace * step, seconds_left=left)


class _Comparison(RunAtStep):
    """A comparison after some of its cells; a cell is one method with one seed."""

    def stored_status(self) -> Status:
        """At work, with a share of its steps done that is the share of its cells."""
        whole = Run.stored_status(self)
        cells = _count_cells(Run.result(self).get("rows", ()))
        return self._status_after(whole, round(whole.step * self.step / max(1, cells)))

    def result(self) -> dict[str, Any]:
        """The rows that there were then, means over the cells that were done."""
        whole = Run.result(self)
        return {**whole, "rows": _rows_then(whole.get("rows", ()), self.step)}

    def metrics(self) -> MetricsReader:
        """Nothing: the steps of all cells have the same numbers."""
        return MetricsReader(self.metrics_path, -1)


def replay_steps(run: Run) -> list[int]:
    """The steps of a run at rest that are worth showing, evenly, the last one its end; of a comparison its cells.

    Empty for a run at work, and where nothing was recorded step by step.
    """
    status, replay = run.status(), kind_of(run.config()).replay
    if status.state not in AT_REST or not replay:
        return []
    if replay == "cells":
        cells = _count_cells(run.result().get("rows", ()))
        return _spread(list(range(1, cells + 1)))
    recorded = {step for step, _ in run.metrics().scalars("loss")}
    steps = sorted(recorded | {int(path.stem) for path in run.snapshots()})
    return _spread(sorted({*steps, max(status.step, steps[-1])})) if steps else []


def run_at(run: Run, step: int, end: int) -> Run:
    """The run as it was at one of its `replay_steps`, the last of which is `end`: there it is the run itself."""
    if step >= end:
        return run
    return (_Comparison if kind_of(run.config()).replay == "cells" else RunAtStep)(run, step)


def _spread(steps: Sequence[int]) -> list[int]:
    """At most `MOST_REPLAY_STEPS` of them, the first and the last included."""
    last, shown = len(steps) - 1, min(len(steps), MOST_REPLAY_STEPS)
    return [steps[round(place * last / max(1, shown - 1))] for place in range(shown)]


def _cells(row: _Row) -> Sequence[_Row]:
    """The cells of a row, one a seed; of an earlier version the row itself."""
    return row.get("cells") or [row]


def _count_cells(rows: Sequence[_Row]) -> int:
    return sum(len(_cells(row)) for row in rows)


def _rows_then(rows: Sequence[_Row], count: int) -> list[dict[str, Any]]:
    """The rows after `count` cells: every method is done once before any has its second seed."""
    order = sorted((place, number) for number, row in enumerate(rows) for place in range(len(_cells(row))))
    done = [number for _, number in order[:count]]
    return [_row_then(row, done.count(number)) for number, row in enumerate(rows) if number in done]


def _row_then(row: _Row, count: int) -> dict[str, Any]:
    """A row with its first cells alone, and the means over those."""
    cells = _cells(row)[:count]
    if count == len(_cells(row)):
        return dict(row)
    known = {name: [cell[name] for cell in cells if _is_number(cell.get(name))] for name in row}
    means = {name: statistics.mean(values) if values else None for name, values in known.items() if name in cells[0]}
    errors = {f"{name}_error": standard_error(values) for name, values in known.items() if f"{name}_error" in row}
    kept = {"kept": cells[0]["kept"], "cells": list(cells)}
    return {**row, **means, **errors, **kept}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
