"""Pieces of HTML that several views share. Everything that is not ours is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from app.views.names import STATES
from tinylab.runs.record import Run

__all__ = ["cells", "duration", "losses", "picture", "status_card", "table"]


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def status_card(run: Run, message: str | None = None) -> str:
    """State, progress bar, time spent and left, and what the job says of itself; `message` replaces that."""
    status = run.status()
    share = 100 * status.step / status.steps if status.steps else 0.0
    times = [f"step {status.step:,} of {status.steps:,}"] if status.steps else []
    times.append(duration(status.seconds))
    if status.active and status.seconds_left is not None and status.step:
        times.append(f"{duration(status.seconds_left)} left")
    said = status.message if message is None else message
    note = f'<div class="tl-message">{html.escape(said)}</div>' if said else ""
    return (
        f'<div class="tl-status tl-{status.state}"><span class="tl-badge" role="status">{STATES[status.state]}</span>'
        f'<span class="tl-run">{html.escape(run.id)}</span><span class="tl-time">{" · ".join(times)}</span>'
        f'<div class="tl-bar" role="progressbar" aria-label="progress" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share:.0f}"><div style="width:{share:.1f}%"></div></div>{note}</div>'
    )


def cells(kept: Sequence[str], blocks: Sequence[str]) -> str:
    """The blocks as a row of little boxes with their names, filled if they stay."""
    boxes = "".join(f'<i class="{"on" if block in kept else "off"}">{html.escape(block)}</i>' for block in blocks)
    words = f"{len(kept)} of {len(blocks)} blocks: {' '.join(kept)}"
    return f'<div class="tl-cells" role="img" aria-label="{html.escape(words)}">{boxes}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], best: int | None = None) -> str:
    """A table of ready-made HTML cells; row `best` stands out. Without `head` the first cells are the titles."""
    titles = "".join(f'<th scope="col">{html.escape(title)}</th>' for title in head)
    top = f"<thead><tr>{titles}</tr></thead>" if head else ""
    body = "".join(
        f'<tr class="{"best" if i == best else ""}"><th scope="row">{first}</th>'
        f"{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
        for i, (first, *rest) in enumerate(rows)
    )
    return f'<div class="tl-scroll"><table class="tl-table">{top}<tbody>{body}</tbody></table></div>'


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
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img class="tl-pixels" alt="{html.escape(words)}" src="data:image/png;base64,{data}">'
