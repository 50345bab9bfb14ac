"""The line of jobs, in the header of every page: how many are at work, how many wait, and when one's own turn comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from app.access.run_ids import UNREADABLE
from app.access.visitors import Visitor, visitor_of
from tinylab.launch.queue import current_queue

__all__ = ["queue_chip", "standing"]

_SCRIPT = Path(__file__).parent.parent / "static" / "parts" / "queue-chip.js"


def queue_chip() -> gr.HTML:
    """A chip that is there while there are jobs; the names of other people's runs are not in it."""

    def ask(question: Any, request: gr.Request) -> dict[str, Any]:
        return standing(visitor_of(request))

    return gr.HTML(
        html_template='<a class="tl-chip tl-line" href="#" hidden></a>',
        apply_default_css=False,
        server_functions=[ask],
        js_on_load=_SCRIPT.read_text(),
        elem_id="line",
    )


def standing(visitor: Visitor) -> dict[str, Any]:
    """How many jobs are at work and wait; the visitor's own first one, its place, and the seconds until it starts."""
    line = current_queue()
    answer: dict[str, Any] = {"working": len(line.working), "waiting": len(line.waiting)}
    for run in (*line.working, *line.waiting):
        try:
            if visitor.may_change(run):
                place = line.place(run)
                answer["own"] = {"run": run.id, "place": place.position if place else 0}
                answer["own"]["seconds"] = place.seconds if place else None
                break
        except UNREADABLE:
            continue
    return answer
