"""Runs: everything that was computed, to be found, named, compared, handed on and thrown away."""

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from app.access.keeping import carry_out, take_in
from app.access.quota import deleted_runs, disk_share
from app.access.visitors import UNREADABLE, Visitor, visitor_of
from app.page.lab import Lab
from app.page.prose import confirm, intro, message_place, problem
from app.texts import text
from app.views.parts import save_csv
from app.views.runs import MOST, card, listed, name_of, side_by_side_table
from tinylab.errors import BadRequest, Failure
from tinylab.paths import runs_folder
from tinylab.reports.names import when
from tinylab.reports.table_render import table_html
from tinylab.runs.disk import folder_bytes

__all__ = ["ID", "TITLE", "answer", "build", "obey", "upload"]

ID, TITLE = "runs", "Runs"
_LONGEST = 200  # characters of what is searched for
_MOST_DELETED = 20  # deleted runs that are offered
_QUIETLY: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}


def build(lab: Lab) -> None:
    """The list on the left; on the right the card of a run, or several beside each other."""
    with gr.Row(elem_classes="tl-work tl-halves"):
        with gr.Column():
            intro("runs")
            live = gr.HTML(
                "",
                html_template='<div class="tl-runs" id="runs-list"></div>',
                apply_default_css=False,
                server_functions=[ask, act],
                js_on_load="window.tinylab.runs(element, props, server, watch);",
                elem_id="runs-live",
            )
            uploaded = gr.UploadButton(text("runs.import"), file_types=[".zip"], elem_id="runs-upload", size="md")
            message = message_place("runs-message")
        with gr.Column():
            gr.HTML('<div class="tl-runs-main" id="runs-main"></div>', elem_id="runs-card", apply_default_css=False)
    uploaded.upload(upload, [uploaded], [message, live], **_QUIETLY)


def ask(question: dict[str, Any], request: gr.Request) -> dict[str, Any]:
    """What the page asks for, see `answer`."""
    return answer(question, visitor_of(request))


def act(order: dict[str, Any], request: gr.Request) -> dict[str, Any]:
    """What the page orders, see `obey`."""
    return obey(order, visitor_of(request))


def answer(question: Any, visitor: Visitor) -> dict[str, Any]:
    """The parts that a question names: `list`, `card`, `together`, `disk`. It comes from outside and may be anything.

    A run that is not there, or not to be seen, has the card None; so have several that cannot be set beside each other.
    """
    asked = question if isinstance(question, dict) else {}
    found: dict[str, Any] = {}
    if isinstance(wanted := asked.get("list"), dict):
        words, page = wanted.get("words"), wanted.get("page")
        shown = words[:_LONGEST] if isinstance(words, str) else ""
        found["list"] = listed(visitor, shown, page if type(page) is int else 0)
    if "card" in asked:
        found["card"] = _card(asked["card"], visitor)
    if "together" in asked:
        found["together"] = _together(asked["together"], visitor)
    if asked.get("disk"):
        found["disk"] = asdict(disk_share(visitor))
        found["deleted"] = [
            {"id": one.run.id, "title": _title(one.run), "when": when(one.deleted), "bytes": folder_bytes(one.run.path)}
            for one in deleted_runs(visitor)[:_MOST_DELETED]
        ]
    return found


def _card(run_id: Any, visitor: Visitor) -> dict[str, Any] | None:
    try:
        return card(visitor.run(run_id), visitor)
    except UNREADABLE:
        return None


def _together(run_ids: Any, visitor: Visitor) -> dict[str, Any] | None:
    """The table of several runs as HTML, and a link that saves it."""
    if not isinstance(run_ids, list) or not 2 <= len(run_ids) <= MOST:
        return None
    try:
        runs = [visitor.run(run_id) for run_id in run_ids]
        table = side_by_side_table(runs)
        return {"runs": [run.id for run in runs], "html": table_html(table, best=False) + save_csv(table, runs[0])}
    except UNREADABLE:
        return None


def _title(run: Any) -> str:
    try:
        return name_of(run)
    except UNREADABLE:
        return run.id


def obey(order: Any, visitor: Visitor) -> dict[str, Any]:
    """Carry out an order; `{"problem": ...}` in one line where that cannot be."""
    try:
        return carry_out(order, visitor)
    except (BadRequest, Failure) as error:
        message = " ".join(str(error).split())
        return {"problem": message.replace(f"{runs_folder()}/", "")}  # where the runs lie is nobody's business
    except OSError as error:
        return {"problem": f"the disk refuses: {error.strerror}; see how much space is left"}


def upload(file: str | None, request: gr.Request) -> list[Any]:
    """The message and the run to show after somebody uploaded an archive; the upload itself is not kept."""
    if not file:
        return [gr.skip(), gr.skip()]
    try:
        run = take_in(Path(file), visitor_of(request))
    except (BadRequest, Failure) as error:
        return [problem(str(error)), gr.skip()]
    except OSError as error:
        return [problem(f"the disk refuses: {error.strerror}; free some space and import it again"), gr.skip()]
    finally:
        with suppress(OSError):
            Path(file).unlink()
    return [confirm(f"Imported {run.id}."), run.id]
