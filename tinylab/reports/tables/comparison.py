"""The tables of a comparison of methods and of a comparison of recipes."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tinylab.pruning.plan import block_names
from tinylab.reports.names import method_label
from tinylab.reports.reading import number
from tinylab.reports.table import Column, Row, Table
from tinylab.runs.run import Run

__all__ = ["cells_of", "choices_of", "comparison_table", "kept_names", "recipes_table", "shares_kept"]

_Row = Mapping[str, Any]

_METHODS = (
    Column("method", "Method"),
    Column("loss_pruned", "Loss after the cut", format=".4f", better="lower"),
    Column("loss_finetuned", "Fine-tuned", format=".4f", better="lower"),
    Column("speedup", "Speed", unit="×", format=".2f", better="higher", against="ratio"),
    Column("parameters", "Weights", format=",d", against="ratio"),
    Column("parameters_share", "Share of the weights", format=".0%"),
    Column("seconds_choosing", "Time to choose", unit="s", format="seconds", against="ratio"),
    Column("kept", "Kept blocks"),
)
_RANKS = (
    Column("rank", "Rank among all", format=",.4g", better="lower"),
    Column("rank_share", "Among the best", format=".1%", better="lower"),
)


def comparison_table(run: Run) -> Table:
    """One row a method, in the order in which they were named, and the full model aside; empty before any is done."""
    result = run.result()
    study = result.get("study")
    columns = (*_METHODS[:3], *(_RANKS if study else ()), *_METHODS[3:])
    rows: list[Row] = []
    if result.get("rows"):
        names = block_names(result["full"]["depth"])
        rows = [_method_row(row, columns, names) for row in result["rows"]]
        rows.append(_full_row(result["full"], columns))
    return Table("comparison", "Methods side by side", columns, tuple(rows), _note(result))


def cells_of(row: _Row) -> Sequence[_Row]:
    """The cells of a row, one a seed; of an earlier version the row itself."""
    return row.get("cells") or [row]


def kept_names(cell: _Row, names: Mapping[str, Sequence[str]]) -> list[str]:
    """The names of the blocks that a cell, or a row with its first seed, keeps."""
    return [several[int(i)] for stack, several in names.items() for i in cell["kept"][stack]]


def shares_kept(row: _Row, names: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """The share of the seeds that keep each block, of those that any keeps."""
    choices = [kept_names(cell, names) for cell in cells_of(row)]
    return {name: sum(name in kept for kept in choices) / len(choices) for kept in choices for name in kept}


def _method_row(row: _Row, columns: Sequence[Column], names: Mapping[str, Sequence[str]]) -> Row:
    seconds = [number(cell.get("seconds_choosing")) for cell in cells_of(row)]
    known = [value for value in seconds if value is not None]
    found: dict[str, Any] = {
        **{column.name: number(row.get(column.name)) for column in columns if column.name not in ("method", "kept")},
        "method": method_label(str(row["method"])),
        "seconds_choosing": statistics.mean(known) if known else None,
        "kept": choices_of(row, names),
    }
    errors = {name: number(row.get(f"{name}_error")) for name in ("loss_pruned", "loss_finetuned")}
    return Row(tuple(found[column.name] for column in columns), tuple(errors.get(column.name) for column in columns))


def _full_row(full: _Row, columns: Sequence[Column]) -> Row:
    found: dict[str, Any] = {
        "method": "Full model",
        "loss_pruned": number(full["loss"]),
        "speedup": 1.0,
        "parameters": number(full["parameters"]),
        "parameters_share": 1.0,
        "kept": "all",
    }
    return Row(tuple(found.get(column.name) for column in columns), aside=True)


def choices_of(row: _Row, names: Mapping[str, Sequence[str]]) -> str:
    """Each distinct choice, with its seeds where there are several."""
    seeds: dict[str, list[str]] = {}
    for cell in cells_of(row):
        seeds.setdefault(" ".join(kept_names(cell, names)), []).append(str(cell.get("seed", 0)))
    if len(seeds) == 1:
        return next(iter(seeds))
    return "; ".join(f"{kept} (seed {', '.join(several)})" for kept, several in seeds.items())


def _note(result: Mapping[str, Any]) -> str:
    words = "Loss on held-out images, lower is better."
    if len(result.get("seeds", ())) > 1:
        words += f" Means over {len(result['seeds'])} seeds ± standard error."
    if result.get("study"):
        words += f" Ranks are among the {number(result['study']['finetuned']):,} choices that the study fine-tuned."
    return words


_RECIPES = (
    Column("recipe", "Recipe"),
    Column("loss", "Loss", format=".5f", better="lower"),
    Column("difference", "Difference to the first", format=".5f"),
    Column("kernel_distance", "Kernel distance", format=".4f", better="lower"),
    Column("read_correctly", "Read correctly", format=".1%", better="higher"),
    Column("seconds", "Time", unit="s", format=".0f", against="ratio"),
)


def recipes_table(run: Run) -> Table:
    """One row a recipe, in the order in which they were named; the cut and the full model aside."""
    result = run.result()
    found = result.get("rows", [])
    scored = any(row["kernel_distance"] is not None for row in found)
    columns = tuple(column for column in _RECIPES if scored or column.name not in ("kernel_distance", "read_correctly"))
    rows = [_recipe_row(row, columns) for row in found]
    for name, label in (("loss_pruned", "right after the cut"), ("loss_full", "full model")):
        if name in result:
            aside: dict[str, Any] = {"recipe": label, "loss": number(result[name])}
            rows.append(Row(tuple(aside.get(column.name) for column in columns), aside=True))
    first = found[0]["recipe"] if found else "the first"
    note = f"Loss on held-out images. Differences are to {first}, seed by seed. ± is the standard error over seeds."
    return Table("recipes", "Recipes side by side", columns, tuple(rows), note)


def _recipe_row(row: _Row, columns: Sequence[Column]) -> Row:
    values = (str(row["recipe"]), *(number(row.get(column.name)) for column in columns[1:]))
    return Row(values, (None, *(number(row.get(f"{column.name}_error")) for column in columns[1:])))
