"""The one live component: shows a run, asks for news once a second, and never rebuilds what has not changed.

The browser half is `static/live.js`. A view is a plain function from a run, and maybe from what is set beside it
(a second run, or the name of a row), to a `Payload`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from app.beside import Beside, nothing_beside
from app.run_ids import UNREADABLE, known_run
from tinylab.runs.record import ACTIVE, Run

__all__ = ["Payload", "View", "live_panel", "poll"]

_AT_WORK = ("created", *ACTIVE)  # states that are worth a look every second
_SCRIPT = Path(__file__).parent / "static" / "live.js"


@dataclass(frozen=True)
class Payload:
    """What a view shows: HTML and figures by slot. A slot that is absent is hidden.

    Attributes:
        offers: what may be set beside the run, so that a menu of it is filled anew when that changes.
    """

    html: dict[str, str] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    offers: Sequence[str] = ()


View = Callable[..., Payload]  # of a run, and of what is set beside it where a panel can compare


def live_panel(
    elem_id: str, view: View, slots: Sequence[str], *, hint: str, beside: Beside = nothing_beside
) -> gr.HTML:
    """A panel with a slot (a place for a figure or HTML) for each name, filled while a run is shown.

    Its value is the id of the run; it fires `submit` whenever the state of that run changes, or what it offers.
    """
    places = "".join(f'<div class="tl-slot" data-slot="{html.escape(slot)}" hidden></div>' for slot in slots)
    template = f'<div class="tl-live"><p class="tl-hint">{html.escape(hint)}</p>{places}</div>'

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        return poll(view, request, beside)

    return gr.HTML(
        value="",
        html_template=template,
        apply_default_css=False,
        server_functions=[ask],
        js_on_load=_SCRIPT.read_text(),
        elem_id=elem_id,
    )


def poll(view: View, request: Any, beside: Beside = nothing_beside) -> dict[str, Any]:
    """Answer the browser's question: the payload of a run, or `{"same": true}` if it has that already.

    The request comes from outside and is checked: only ids of runs in the runs folder are answered. What is to be set
    beside the run is left out where it cannot be read or compared.
    """
    asked = request if isinstance(request, dict) else {}
    try:
        run = known_run(asked.get("run"))
        return _answer(view, run, beside(run, asked.get("beside")), asked.get("revision"))
    except UNREADABLE:
        return {"gone": True}


def _answer(view: View, run: Run, other: Run | str | None, known: Any) -> dict[str, Any]:
    runs = [run, other] if isinstance(other, Run) else [run]
    states = [each.status().state for each in runs]
    head = {"state": states[0], "working": any(state in _AT_WORK for state in states)}
    revisions = [_revision(each, state) for each, state in zip(runs, states, strict=True)]
    revision = "+".join([*revisions, *([other] if isinstance(other, str) else [])])
    if known == revision:
        return {"same": True, **head}
    try:
        payload = view(run) if other is None else view(run, other)
    except UNREADABLE:
        if other is None:
            raise
        payload = view(run)
    shown = {"html": payload.html, "figures": payload.figures, "offers": list(payload.offers)}
    return {"revision": revision, **shown, **head}


def _revision(run: Run, state: str) -> str:
    """Changes whenever anything that a view reads has changed."""
    files = [run.path / "status.json", run.metrics_path, run.path / "metrics.db-wal", run.artifacts / "result.json"]
    times = [f.stat().st_mtime_ns if f.exists() else 0 for f in files]
    return "-".join([state, *map(str, times)])
