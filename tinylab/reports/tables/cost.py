"""The tables of a cost run: size and arithmetic by part, speed and memory, scores at equal seconds."""

from collections.abc import Mapping, Sequence
from typing import Any

from tinylab.reports.names import method_label
from tinylab.reports.reading import number
from tinylab.reports.table import Column, Row, Table
from tinylab.reports.tables.scores import score_column
from tinylab.runs.run import Run

__all__ = ["cost_label", "cost_table", "equal_seconds_table", "gap_words", "size_table"]

_PARTS = ("blocks", "embedders", "head", "total")

_COST = (
    Column("model", "Model"),
    Column("blocks", "Blocks", format="d"),
    Column("batch", "Batch", format="d", apart=True),
    Column("steps", "Steps", format="d", apart=True),
    Column("seconds", "Time of a batch", unit="s", format=".3g", better="lower", against="ratio"),
    Column("images_per_second", "Images a second", format=".4g", better="higher", against="ratio"),
    Column("speedup", "Speed", unit="×", format=".2f", better="higher", against="ratio"),
    Column("limit", "Limit of the depth", unit="×", format=".2f"),
    Column("expected", "Expected", unit="×", format=".2f"),
    Column("peak_bytes", "Peak memory", format="bytes", better="lower", against="ratio"),
)


def cost_label(model: Mapping[str, Any]) -> str:
    """What a measured model is called: with its cache, where it has one that its label does not tell."""
    label, cache = method_label(str(model["label"])), model.get("cache")
    return f"{label}, cache {cache}" if cache and str(cache) not in label else label


def gap_words(row: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """What became of what depth could save, in a sentence without its end: the limit, what of it can be had, and what
    was measured; the last alone of a model that differs in more than depth."""
    measured = f"measured {float(row['speedup']):.2f}×"
    if row["limit"] is None or row["expected"] is None:
        return f"{cost_label(model)}: {measured}"
    share = (
        f"blocks take {float(row['blocks_share']):.1%} of a step, so " if row.get("blocks_share") is not None else ""
    )
    return (
        f"{cost_label(model)}: limit {float(row['limit']):.2f}×; {share}{float(row['expected']):.2f}× can be had; "
        f"{measured}"
    )


def cost_table(run: Run) -> Table:
    """One row for every model, batch size and number of steps."""
    result = run.result()
    models, found = result.get("models", []), result.get("rows", [])
    rows = tuple(_cost_row(row, models[int(row["model"])]) for row in found)
    rounds = f"Medians and quartiles of {number(found[0]['rounds'])} rounds, models in turn. " if found else ""
    note = (
        f"{rounds}Speed is the median of the ratios of paired rounds against the first model. The limit is the ratio "
        "of the depths; what is expected is the speed-up that the measured shares of the time explain."
    )
    return Table("cost", "Speed and memory", _COST, rows, note)


def _cost_row(row: Mapping[str, Any], model: Mapping[str, Any]) -> Row:
    values = {
        "model": cost_label(model),
        "blocks": sum(int(blocks) for blocks in model["depth"].values()),
        **{column.name: number(row.get(column.name)) for column in _COST[2:]},
    }
    spans = {"seconds": (number(row.get("low")), number(row.get("high")))}
    errors = tuple(spans.get(column.name) for column in _COST)
    return Row(tuple(values[column.name] for column in _COST), errors)


def size_table(run: Run) -> Table:
    """Weights of every model by part, and the multiply-adds of one image."""
    result = run.result()
    weights = [Column(f"parameters_{part}", f"Weights: {part}", format=",d", against="ratio") for part in _PARTS]
    macs = [Column(f"macs_{part}", f"Multiply-adds: {part}", format="big", against="ratio") for part in _PARTS]
    rows = tuple(
        Row((cost_label(model), *(number(model[kind].get(part)) for kind in ("parameters", "macs") for part in _PARTS)))
        for model in result.get("models", [])
    )
    note = "Multiply-adds are of one image at the first number of steps, guidance included."
    return Table("sizes", "Weights and arithmetic", (Column("model", "Model"), *weights, *macs), rows, note)


def equal_seconds_table(run: Run) -> Table | None:
    """Scores of rivals that were given the same seconds an image; None if that was not measured."""
    found = run.result().get("equal_seconds")
    if not found:
        return None
    names = list(dict.fromkeys(name for row in found["rows"] for name in row["scores"]))
    columns = (
        Column("model", "Model"),
        Column("steps", "Steps", format="d"),
        Column("seconds_per_image", "Time an image", unit="s", format=".3g"),
        *(score_column(name) for name in names),
    )
    note = (
        f"{number(found['images']):,} samples each, seen by {found['extractor']}, at about "
        f"{number(found['seconds_per_image']):.3g} s an image."
    )
    return Table("equal_seconds", "At equal seconds an image", columns, tuple(_equal(found["rows"], names)), note)


def _equal(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Row]:
    made = []
    for row in rows:
        scores = [row["scores"].get(name) or {} for name in names]
        values = (method_label(str(row["label"])), number(row["steps"]), number(row["seconds_per_image"]))
        spans = [(number(score.get("low")), number(score.get("high"))) for score in scores]
        made.append(Row((*values, *(number(score.get("value")) for score in scores)), (None, None, None, *spans)))
    return made
