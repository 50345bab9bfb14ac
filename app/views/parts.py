"""Pieces of HTML that several views share. Everything that is not ours is escaped."""

import base64
import html
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.views.names import STATES
from tinylab.launch.queue import place_of
from tinylab.reports import Table
from tinylab.reports.names import duration
from tinylab.reports.table_render import table_html
from tinylab.runs.recordings import is_recording
from tinylab.runs.replay import RunAtStep
from tinylab.runs.run import Run

__all__ = [
    "Payload",
    "cells",
    "losses",
    "notes",
    "picture",
    "pixels",
    "save_csv",
    "sortable",
    "status_card",
    "table",
    "waiting_words",
]


@dataclass(frozen=True)
class Payload:
    """What a view shows: HTML and figures by slot. A slot that is absent is hidden.

    Attributes:
        offers: what the run may be compared with, so that a menu of it is filled again when that changes.
    """

    html: dict[str, str] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    offers: Sequence[str] = ()


def waiting_words(run: Run) -> str:
    """The place of a run in the queue and when it starts, about; "" for a run that does not wait."""
    place = place_of(run)
    if place is None:
        return ""
    ahead = "nothing is before it" if not place.ahead else f"{place.ahead} job{'s' * (place.ahead > 1)} before it"
    starts = "" if place.seconds is None else f", starts in about {duration(round(place.seconds, -1) or 10)}"
    return f"Place {place.position} in the queue: {ahead}{starts}. This page can be closed; the run keeps its place."


def status_card(run: Run, message: str | None = None) -> str:
    """State, progress bar, time spent and left, and what the job says of itself; `message` replaces that.

    A run that is watched again says so, and a recording also when it was made.
    """
    status = run.status()
    share = 100 * status.step / status.steps if status.steps else 0.0
    then = isinstance(run, RunAtStep)
    about = "≈ " if then else ""  # times of a replay are estimates
    times = [f"step {status.step:,} of {status.steps:,}"] if status.steps else []
    times.append(f"{about}{duration(status.seconds)}")
    if status.active and status.seconds_left is not None and status.step:
        times.append(f"{about}{duration(status.seconds_left)} left")
    said = waiting_words(run) or (status.message if message is None else message)
    recorded = is_recording(run)
    if recorded:
        said = said or "A real run, recorded: nothing is computed now."
        times.append(time.strftime("%Y-%m-%d", time.gmtime(status.created)))
    look, state = ("finished", "Recorded") if recorded else ("replayed", "Replay") if then else ("", "")
    note = f'<div class="tl-message">{html.escape(said)}</div>' if said else ""
    return (
        f'<div class="tl-status tl-{look or status.state}">'
        f'<span class="tl-badge" role="status">{state or STATES[status.state]}</span>'
        f'<span class="tl-run">{html.escape(run.id)}</span><span class="tl-time">{" · ".join(times)}</span>'
        f'<div class="tl-bar" role="progressbar" aria-label="progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share:.0f}"><div style="width:{share:.1f}%"></div></div>{note}</div>'
    )


def cells(kept: Sequence[str], blocks: Sequence[str]) -> str:
    """The blocks as a row of little boxes with their names, filled if they stay."""
    boxes = "".join(f'<i class="{"on" if block in kept else "off"}">{html.escape(block)}</i>' for block in blocks)
    words = f"{len(kept)} of {len(blocks)} blocks: {' '.join(kept)}"
    return f'<div class="tl-cells" role="img" aria-label="{html.escape(words)}">{boxes}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of ready-made HTML cells. Without `head` the first cells are the titles."""
    titles = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in head)
    top = f"<thead><tr>{titles}</tr></thead>" if head else ""
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    return f'<div class="tl-scroll"><table class="tl-table">{top}<tbody>{body}</tbody></table></div>'


def sortable(
    found: Table, run: Run, baseline: str | None = None, *, best: bool = True, remarks: Sequence[str] = ()
) -> str:
    """A table of a report as it stands there, with its title and a button that saves it; sorted in the browser.

    Args:
        baseline: the row that is pinned to the top and that the others are set against.
        best: whether the best value of a column stands out.
        remarks: more to keep in mind than the table says itself.
    """
    title = f"<h4>{html.escape(found.title)}</h4>"
    return f"{title}{table_html(found, baseline, best=best)}{notes(remarks)}{save_csv(found, run)}"


def save_csv(found: Table, run: Run) -> str:
    """A link that saves a table with all its digits. The file is in the page itself, so none has to be served."""
    data = base64.b64encode(found.to_csv().encode()).decode()
    words, name = f"Save the table “{found.title}” as CSV", f"tinylab-{run.id}-{found.key}.csv"
    return (
        f'<div class="tl-save"><a download="{html.escape(name)}" href="data:text/csv;charset=utf-8;base64,{data}" '
        f'aria-label="{html.escape(words)}">CSV</a></div>'
    )


def notes(lines: Sequence[str]) -> str:
    """What is to be kept in mind, in plain sight but quiet; nothing for no lines."""
    if not lines:
        return ""
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f'<ul class="tl-notes">{items}</ul>'


def losses(values: Sequence[tuple[str, float | None]], note: str = "") -> str:
    """Named held-out losses side by side, as large figures, and a remark."""
    boxes = "".join(
        f'<div class="tl-figure"><b>{value:.4f}</b><span>{html.escape(name)}</span></div>'
        for name, value in values
        if value is not None
    )
    below = f'<p class="tl-note">{html.escape(note)}</p>' if note else ""
    return f'<h4>Loss on held-out images</h4><div class="tl-figures">{boxes}</div>{below}'


def picture(path: Path, words: str) -> str:
    """A PNG of the run as part of the page, so that no file has to be served."""
    return pixels(path.read_bytes(), words)


def pixels(png: bytes, words: str) -> str:
    """A PNG as part of the page; `words` are for those who do not see it."""
    data = base64.b64encode(png).decode()
    return f'<img class="tl-pixels" alt="{html.escape(words)}" src="data:image/png;base64,{data}">'
