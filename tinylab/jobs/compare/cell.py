"""One cell of a comparison: a method and a seed, and what it came to."""

from __future__ import annotations

import json
import shutil
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.json_file import read_object
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.replay import standard_error

__all__ = ["Cell", "CellResult", "table_rows"]

_MEASURED = ("loss_pruned", "loss_finetuned", "speedup", "seconds_choosing")  # of a cell, in a row of the table


@dataclass(frozen=True)
class Cell:
    """What is to be computed.

    Attributes:
        row: index of the method; the saved model is `models/ROW`.
        label: what the row is called.
        name: what the cell is called, with its seed if there are several.
        given: the plan, where it was given; None where `method` chooses.
        first: True for the first seed of its row, whose model is saved.
        search_steps: steps of the search that chooses; 0 if none does.
        steps: steps of the fine-tuning.
        before: steps of the cells before it.
        folder: where it is kept.
    """

    row: int
    label: str
    name: str
    method: str
    given: DepthPlan | None = field(compare=False)
    seed: int
    first: bool
    search_steps: int
    steps: int
    before: int
    folder: Path

    @property
    def length(self) -> int:
        """Steps of the cell, at least one."""
        return max(1, self.search_steps + self.steps)

    @property
    def plan_path(self) -> Path:
        """Where the choice of the method is kept."""
        return self.folder / "plan.json"

    def result(self) -> CellResult | None:
        """What it came to; None if it is not done. BadRequest if the file is damaged."""
        return CellResult.load(self.folder / "cell.json")

    def finish(self, result: CellResult) -> None:
        """Store the result; checkpoints are of no use any more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write_text(self.folder / "cell.json", json.dumps(asdict(result), indent=2) + "\n")
        for work in ("search", "tuning"):
            shutil.rmtree(self.folder / work, ignore_errors=True)


@dataclass(frozen=True)
class CellResult:
    """What a cell came to.

    Attributes:
        kept: indices of the blocks that stay, per stack.
        loss_pruned, loss_finetuned: losses on held-out data; the second is None where nothing was fine-tuned.
        speedup: of a forward pass, against the full model.
        parameters: weights that are left.
        seconds_choosing: how long the method took; None for a plan that was given.
    """

    kept: Mapping[str, tuple[int, ...]]
    loss_pruned: float
    loss_finetuned: float | None
    speedup: float
    parameters: int
    seconds_choosing: float | None

    @classmethod
    def load(cls, path: Path) -> CellResult | None:
        """Read the file; None if there is none, BadRequest if it is damaged."""
        if not path.is_file():
            return None
        try:
            values: dict[str, Any] = read_object(path) or {}
            kept = {stack: tuple(indices) for stack, indices in values.pop("kept").items()}
            return cls(kept, **values)
        except (KeyError, TypeError, AttributeError):
            raise BadRequest(f"{path} is damaged; delete it to compute that cell again") from None


def table_rows(done: Mapping[Cell, CellResult], *, parameters: int) -> list[dict[str, Any]]:
    """One row for every method that has a cell, in the order in which they were named; means are over its cells.

    Args:
        parameters: weights of the full model.
    """
    rows: dict[int, dict[Cell, CellResult]] = {}
    for cell, result in sorted(done.items(), key=lambda item: (item[0].row, item[0].before)):
        rows.setdefault(cell.row, {})[cell] = result
    return [_row(cells, parameters) for cells in rows.values()]


def _row(cells: Mapping[Cell, CellResult], parameters: int) -> dict[str, Any]:
    first, results = next(iter(cells)), list(cells.values())
    before = [result.loss_pruned for result in results]
    after = [result.loss_finetuned for result in results if result.loss_finetuned is not None]
    size = round(statistics.mean(result.parameters for result in results))
    return {
        "method": first.label,
        "kept": _lists(cells[first]),
        "loss_pruned": statistics.mean(before),
        "loss_pruned_error": standard_error(before),
        "loss_finetuned": statistics.mean(after) if after else None,
        "loss_finetuned_error": standard_error(after),
        "speedup": statistics.mean(result.speedup for result in results),
        "parameters": size,
        "parameters_share": size / parameters,
        "model": f"models/{first.row}",
        "cells": [
            {"seed": cell.seed, "kept": _lists(result), **{name: getattr(result, name) for name in _MEASURED}}
            for cell, result in cells.items()
        ],
    }


def _lists(result: CellResult) -> dict[str, list[int]]:
    return {stack: list(indices) for stack, indices in result.kept.items()}
