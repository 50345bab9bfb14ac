"""Samples side by side, with what each image cost: the table is that of the report."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.views.parts import Payload, picture, sortable, status_card
from tinylab.reports.names import model_label
from tinylab.reports.tables import samples_table
from tinylab.runs.run import Run

__all__ = ["SLOTS", "view"]

SLOTS = ("status", "samples", "table")
_NAMED = 12  # classes that are listed
_READ = "Read as asked: how many images a digit classifier takes for the class they should be."


def view(run: Run) -> Payload:
    """Everything the Generate tab shows of a run."""
    shown = {"status": status_card(run)}
    result = run.result()
    rows: list[dict[str, Any]] = result.get("models", [])
    if rows:
        columns = "".join(_column(run, index, row) for index, row in enumerate(rows))
        shown["samples"] = f'<div class="tl-columns">{columns}</div>'
        shown["table"] = sortable(samples_table(run), run, remarks=_remarks(rows, result.get("class_names", [])))
    return Payload(shown)


def _column(run: Run, index: int, row: Mapping[str, Any]) -> str:
    title = model_label(row["model"])
    place = "Original" if index == 0 else "Shallow"
    return (
        f"<figure><figcaption>{place}: <b>{html.escape(title)}</b>, {sum(row['depth'].values())} blocks</figcaption>"
        f"{picture(run.artifacts / Path(row['png']).name, f'samples of {title}')}</figure>"
    )


def _remarks(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> list[str]:
    found = [f"Classes in turn: {', '.join(classes[:_NAMED])}{', …' if len(classes) > _NAMED else ''}."]
    found += [_READ] if any("read_correctly" in row for row in rows) else []
    return found + [f"{note.capitalize()}." for note in dict.fromkeys(row["note"] for row in rows if "note" in row)]
