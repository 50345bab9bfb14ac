"""The one live component: shows a run, asks for news once a second, and never rebuilds what has not changed.

The browser half is `static/parts/live.js`, with `static/replay.js` for runs that are watched again. A view is a plain
function from a run, and maybe from what it is compared with (a second run, or the name of a row), to a `Payload`.
"""

import html
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import orjson
from fastapi import Response
from gradio.i18n import I18nData

from app.access.visitors import UNREADABLE, Visitor, visitor_of
from app.page.answer_cache import PollingPace, ReadyAnswers
from app.page.comparison import Comparison, no_comparison
from app.texts import english
from app.views.parts import Payload, waiting_words
from tinylab.config import kind_of
from tinylab.runs.replay import AT_REST, replay_steps, run_at
from tinylab.runs.run import Run

__all__ = ["MOST_FRAMES", "View", "answer", "frames", "live_panel", "poll"]

MOST_FRAMES = 12  # steps of a run that are answered at once
_KEPT = 64 * 2**20  # bytes of answers that are kept for others who ask the same
_SCRIPT = Path(__file__).parent.parent / "static" / "parts" / "live.js"
_ready, _pace = ReadyAnswers(_KEPT), PollingPace()


View = Callable[..., Payload]  # of a run, and of what it is compared with where a panel can compare


def live_panel(
    elem_id: str,
    view: View,
    slots: Sequence[str],
    *,
    hint: str | I18nData,
    comparison: Comparison = no_comparison,
    recorded: str | None = None,
) -> gr.HTML:
    """A panel with a slot (a place for a figure or HTML) for each name, filled while a run is shown.

    Its value is the id of the run; it fires `submit` whenever the state of that run changes, or what it offers.

    Args:
        hint: shown while there is no run.
        recorded: the id of a recording that the hint offers to watch.
    """

    def ask(question: dict[str, Any], request: gr.Request) -> Response:
        found = answer(view, question, visitor_of(request), comparison)
        page = question.get("page") if isinstance(question, dict) else None
        return _as_json(_joined({"pause": _pace.pause(page)}, found))

    def replay(question: dict[str, Any], request: gr.Request) -> Response:
        return _as_json(frames(view, question, visitor_of(request), comparison))

    return gr.HTML(
        value="",
        html_template=_template(slots, hint, recorded),
        apply_default_css=False,
        server_functions=[ask, replay],
        js_on_load=_SCRIPT.read_text(),
        elem_id=elem_id,
    )


def _template(slots: Sequence[str], hint: str | I18nData, recorded: str | None) -> str:
    places = "".join(f'<div class="tl-slot" data-slot="{html.escape(slot)}" hidden></div>' for slot in slots)
    key = f' data-text="{html.escape(hint.key)}"' if isinstance(hint, I18nData) else ""
    return (
        f'<div class="tl-live" data-recorded="{html.escape(recorded or "")}">'
        f'<div class="tl-hint"><p{key}>{html.escape(english(hint))}</p></div>{places}</div>'
    )


def poll(view: View, question: Any, visitor: Visitor, comparison: Comparison = no_comparison) -> dict[str, Any]:
    """The same as `answer`, as an object."""
    return orjson.loads(answer(view, question, visitor, comparison))


def answer(view: View, question: Any, visitor: Visitor, comparison: Comparison = no_comparison) -> bytes:
    """The answer to the browser, as JSON: the payload of a run, or `{"same": true}` if it has that already.

    The question comes from outside and is checked: only ids of runs that the visitor may see are answered. What the
    run is compared with is left out where it cannot be read or compared. Many pages that ask about the same run cost
    one computation.
    """
    asked = question if isinstance(question, dict) else {}
    try:
        run = visitor.run(asked.get("run"))
        other = comparison(visitor, run, asked.get("other"))
        states = _states(run, other)
        head = {"state": states[0], "working": not all(state in AT_REST for state in states)}
        revision = _revision(run, other, states)
        if asked.get("revision") == revision:
            return orjson.dumps({"same": True, **head})
        shown = _ready.get((view, run.path, revision), partial(_shown, view, run, other))
        return _joined({"revision": revision, **head}, shown)
    except UNREADABLE:
        return orjson.dumps({"gone": True})


def frames(view: View, question: Any, visitor: Visitor, comparison: Comparison = no_comparison) -> bytes:
    """The steps that a run at rest can be replayed at, and the payloads of some of them, as JSON.

    The question names the run, what it is compared with, the `start` among the steps and a `count` of at most
    `MOST_FRAMES`; it comes from outside, too. A second run is shown as it was after the same step.
    """
    asked = question if isinstance(question, dict) else {}
    start, count = (_whole(asked.get(name)) for name in ("start", "count"))
    try:
        run = visitor.run(asked.get("run"))
        other = comparison(visitor, run, asked.get("other"))
        revision = _revision(run, other, _states(run, other))
        steps = _replay_steps(run, revision)
        there = _replay_steps(other, revision) if isinstance(other, Run) else []
        found = []
        for step in steps[start : start + min(count, MOST_FRAMES)]:
            then = run_at(run, step, steps[-1])
            also = run_at(other, step, there[-1]) if isinstance(other, Run) and there else other
            found.append(_ready.get((view, run.path, revision, step), partial(_shown, view, then, also)))
        unit = "cell" if kind_of(run.config()).replay == "cells" else "step"
        head = {"revision": revision, "steps": steps, "unit": unit}
        return orjson.dumps(head)[:-1] + b',"frames":[' + b",".join(found) + b"]}"
    except UNREADABLE:
        return orjson.dumps({"gone": True})


def _replay_steps(run: Run, revision: str) -> list[int]:
    key = ("steps", run.path, revision)
    return orjson.loads(_ready.get(key, lambda: orjson.dumps(replay_steps(run))))


def _shown(view: View, run: Run, other: Run | str | None) -> bytes:
    """What the view makes of the run, as JSON; of the run alone where nothing can be made of the other."""
    try:
        payload = view(run) if other is None else view(run, other)
    except UNREADABLE:
        if other is None:
            raise
        payload = view(run)
    shown = {"html": payload.html, "figures": payload.figures, "offers": list(payload.offers)}
    return orjson.dumps(shown, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)


def _whole(value: Any) -> int:
    """A whole number that is not below zero, however it was asked."""
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _states(run: Run, other: Run | str | None) -> list[str]:
    return [each.status().state for each in (run, other) if isinstance(each, Run)]


def _revision(run: Run, other: Run | str | None, states: Sequence[str]) -> str:
    """Changes whenever anything that a view reads has changed."""
    runs = [each for each in (run, other) if isinstance(each, Run)]
    parts = [_written(each, state) for each, state in zip(runs, states, strict=True)]
    return "+".join([*parts, *([other] if isinstance(other, str) else [])])


def _written(run: Run, state: str) -> str:
    """Which run it is, how it stands and waits, and when its files were written."""
    files = [run.path / "status.json", run.metrics_path, run.path / "metrics.db-wal", run.artifacts / "result.json"]
    times = [f.stat().st_mtime_ns if f.exists() else 0 for f in files]
    return "-".join([run.id, state, waiting_words(run), *map(str, times)])


def _joined(head: dict[str, Any], rest: bytes) -> bytes:
    """One JSON object of two, the second of which is ready."""
    return orjson.dumps(head)[:-1] + b"," + rest[1:]


def _as_json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
