"""A measurement of costs: what depth could save and what it does, times, parts, and scores at equal seconds.

Tables and figures are those of the report.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from app.views.parts import Payload, notes, sortable, status_card
from tinylab.reports.sections.cost import cost_section
from tinylab.reports.tables import cost_table, equal_seconds_table, size_table
from tinylab.reports.tables.cost import gap_words
from tinylab.runs.run import Run

__all__ = ["SLOTS", "gap", "view"]

_MOST = 12  # figures
_PLOTS = tuple(f"plot-{index}" for index in range(_MOST))
SLOTS = ("status", "gap", "times", *_PLOTS[:2], "sizes", "equal", *_PLOTS[2:])


def view(run: Run, baseline: str | None = None) -> Payload:
    """Everything the Cost part shows of a run.

    Args:
        baseline: the name of the model that the others are set against.
    """
    shown, result = {"status": status_card(run)}, run.result()
    if not result.get("rows"):
        return Payload(shown)
    section = cost_section(run)
    shown["gap"] = gap(result)
    times = cost_table(run)
    shown["times"] = sortable(times, run, baseline, remarks=section.words[1:2])
    shown["sizes"] = sortable(size_table(run), run, baseline, best=False)
    equal = equal_seconds_table(run)
    if equal:
        shown["equal"] = sortable(equal, run)
    figures = {name: plot.figure for name, plot in zip(_PLOTS, section.plots, strict=False)}
    return Payload(shown, figures, times.labels)


def gap(result: Mapping[str, Any]) -> str:
    """What each rival could save at most, what can be had of it, what it did, at the first batch and steps."""
    first = result["rows"][0]
    rows = [row for row in result["rows"] if (row["batch"], row["steps"]) == (first["batch"], first["steps"])]
    models: Sequence[Mapping[str, Any]] = result["models"]
    parts = [_rival(row, models[int(row["model"])]) for row in rows if row["model"]]
    where = f"Batches of {int(first['batch']):,}, {int(first['steps']):,} steps."
    return f"<h4>What depth could save, and what it does</h4>{''.join(parts)}{notes([where])}"


def _rival(row: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    figures = [("limit", row["limit"]), ("can be had", row["expected"]), ("measured", row["speedup"])]
    known = [(title, value) for title, value in figures if row["expected"] is not None or title == "measured"]
    boxes = "".join(
        f'<div class="tl-figure"><b>{float(value):.2f}×</b><span>{title}</span></div>' for title, value in known
    )
    words = html.escape(gap_words(row, model))
    return f'<div class="tl-gap"><div class="tl-figures">{boxes}</div><p>{words}.</p></div>'
