"""The one live component: shows a run, asks for news once a second, and never rebuilds what has not changed.

The browser half is `static/live.js`. A view is a plain function from a run to a `Payload`.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from app.run_ids import UNREADABLE, known_run
from tinylab.runs.record import Run

__all__ = ["Payload", "View", "live_panel", "poll"]

_SCRIPT = Path(__file__).parent / "static" / "live.js"


@dataclass(frozen=True)
class Payload:
    """What a view shows: HTML and figures by slot. A slot that is absent is hidden."""

    html: dict[str, str] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)


View = Callable[[Run], Payload]


def live_panel(elem_id: str, view: View, slots: Sequence[str], *, hint: str) -> gr.HTML:
    """A panel with a slot (a place for a figure or HTML) for each name, filled while a run is shown.

    Its value is the id of the run; it fires `submit` whenever the state of that run changes.
    """
    places = "".join(f'<div class="tl-slot" data-slot="{html.escape(slot)}" hidden></div>' for slot in slots)
    template = f'<div class="tl-live"><p class="tl-hint">{html.escape(hint)}</p>{places}</div>'

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        return poll(view, request)

    return gr.HTML(
        value="",
        html_template=template,
        apply_default_css=False,
        server_functions=[ask],
        js_on_load=_SCRIPT.read_text(),
        elem_id=elem_id,
    )


def poll(view: View, request: Any) -> dict[str, Any]:
    """Answer the browser's question: the payload of a run, or `{"same": true}` if it has that already.

    The request comes from outside and is checked: only ids of runs in the runs folder are answered.
    """
    asked = request if isinstance(request, dict) else {}
    try:
        run = known_run(asked.get("run"))
        state = run.status().state
        revision = _revision(run, state)
        if asked.get("revision") == revision:
            return {"same": True, "state": state}
        payload = view(run)
    except UNREADABLE:
        return {"gone": True}
    return {"state": state, "revision": revision, "html": payload.html, "figures": payload.figures}


def _revision(run: Run, state: str) -> str:
    """Changes whenever anything that a view reads has changed."""
    files = [run.path / "status.json", run.metrics_path, run.path / "metrics.db-wal", run.artifacts / "result.json"]
    times = [f.stat().st_mtime_ns if f.exists() else 0 for f in files]
    return "-".join([state, *map(str, times)])
