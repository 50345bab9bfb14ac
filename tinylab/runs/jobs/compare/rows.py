"""From the cells of a comparison to the rows of its table: means over seeds and their standard errors."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from tinylab.runs.jobs.compare.cell import Cell, CellResult
from tinylab.runs.spread import standard_error

__all__ = ["table_rows"]


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
        "cells": [{"seed": cell.seed, **_values(result)} for cell, result in cells.items()],
    }


def _values(result: CellResult) -> dict[str, Any]:
    names = ("loss_pruned", "loss_finetuned", "speedup", "seconds_choosing")
    return {"kept": _lists(result), **{name: getattr(result, name) for name in names}}


def _lists(result: CellResult) -> dict[str, list[int]]:
    return {stack: list(indices) for stack, indices in result.kept.items()}
