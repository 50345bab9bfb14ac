"""Samples side by side, with what each image cost."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from app.live import Payload
from app.views.names import model_label
from app.views.parts import picture, status_card, table
from tinylab.config import SampleConfig
from tinylab.runs.record import Run
from tinylab.sampling import SAMPLERS

__all__ = ["SLOTS", "view"]

SLOTS = ("status", "samples", "table")
_NAMED = 12  # classes that are listed


def view(run: Run) -> Payload:
    """Everything the Generate tab shows of a run."""
    config = cast(SampleConfig, run.config())
    shown = {"status": status_card(run)}
    result = run.result()
    rows: list[dict[str, Any]] = result.get("models", [])
    if rows:
        columns = "".join(_column(run, index, row) for index, row in enumerate(rows))
        shown["samples"] = f'<div class="tl-columns">{columns}</div>'
        shown["table"] = _table(rows, config, result.get("class_names", []))
    return Payload(shown)


def _column(run: Run, index: int, row: dict[str, Any]) -> str:
    title = model_label(row["model"])
    place = "Original" if index == 0 else "Shallow"
    return (
        f"<figure><figcaption>{place}: <b>{html.escape(title)}</b>, {sum(row['depth'].values())} blocks</figcaption>"
        f"{picture(run.artifacts / Path(row['png']).name, f'samples of {title}')}</figure>"
    )


def _table(rows: list[dict[str, Any]], config: SampleConfig, classes: Sequence[str]) -> str:
    body = [
        [
            html.escape(model_label(row["model"])),
            str(sum(row["depth"].values())),
            f"{row['parameters']:,}",
            f"{row['seconds_per_image'] * 1000:.1f} ms",
            f"{row['speedup']:.2f}×",
            f"{row['read_correctly']:.1%}" if "read_correctly" in row else "–",
        ]
        for row in rows
    ]
    drawn = f"Classes in turn: {html.escape(', '.join(classes[:_NAMED]))}{', …' if len(classes) > _NAMED else ''}. "
    head = ["Model", "Blocks", "Weights", "Time an image", "Speed", "Read as asked"]
    steps = f"{_sampler(config.sampler)}{rows[0].get('steps', config.steps)} steps"
    note = (
        f'<p class="tl-note">{drawn}{html.escape(steps)}, guidance {config.guidance:g}, '
        f"seed {config.seed}, {config.n} images each from the same noise. Times are medians of "
        f"{rows[0]['timed_rounds']} rounds, models in turn. Read as asked: how many images a digit classifier "
        "takes for the class they should be.</p>"
    )
    remark = next((row["note"] for row in rows if "note" in row), "")
    return table(head, body) + note + (f'<p class="tl-note">{html.escape(remark.capitalize())}.</p>' if remark else "")


def _sampler(name: str) -> str:
    """The sampler as the menu calls it, nothing where each model took its own."""
    return "" if name == "auto" else f"{SAMPLERS.entry(name).label}, "
