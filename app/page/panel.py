"""What the working tabs share: start, stop and resume a job, pick a run, show it live."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.i18n import I18nData

from app.access.allowed import check_allowed, check_may_go_on
from app.access.quota import check_quota
from app.access.settings import lab_settings
from app.access.visitors import UNREADABLE, Visitor, visitor_of
from app.page.comparison import Comparison, no_comparison
from app.page.live import View, live_panel
from app.page.menus import run_choices
from app.page.prose import command_place, message_place, problem, quiet, show_command
from app.texts import english, text
from tinylab.config import JobConfig
from tinylab.errors import BadRequest, Failure
from tinylab.launch.launch import active_run, launch, relaunch, stop, warm_up
from tinylab.runs.recordings import recordings
from tinylab.runs.run import ACTIVE

__all__ = ["JobPanel", "launch_form", "named_as_in_form", "read_form"]

_RESUMABLE = ("stopped", "interrupted", "failed", "created")
_QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "jobs", "concurrency_limit": 1}


class JobPanel:
    """Controls and display of one kind of job.

    Build `controls()` and `display()` where they belong, then `wire()` them.

    Args:
        kind: the kind of job, also the prefix of all element ids.
        verb: what the start button says.
        comparison: what may be compared with the run, see `app.page.comparison`.
    """

    def __init__(
        self,
        kind: str,
        verb: str | I18nData,
        view: View,
        slots: Sequence[str],
        *,
        hint: str | I18nData,
        comparison: Comparison = no_comparison,
    ) -> None:
        self.kind, self.verb, self.view, self.slots, self.hint = kind, verb, view, slots, hint
        self.comparison = comparison

    def controls(self) -> None:
        """The buttons, the place for errors beside them, and the menu of earlier runs."""
        with gr.Row(elem_classes="tl-buttons"):
            self.start = gr.Button(self.verb, variant="primary", elem_id=f"{self.kind}-start", min_width=80)
            self.stop = gr.Button(text("panel.stop"), interactive=False, elem_id=f"{self.kind}-stop", min_width=60)
            self.resume = gr.Button(
                text("panel.resume"), interactive=False, elem_id=f"{self.kind}-resume", min_width=60
            )
        self.message = message_place(f"{self.kind}-message")
        self.command = gr.Button(text("panel.command"), size="sm", elem_id=f"{self.kind}-command")
        self.shown_command = command_place(self.kind)
        self.picker = gr.Dropdown(
            choices=[], value=None, label=text("panel.earlier_runs"), elem_id=f"{self.kind}-runs", interactive=True
        )

    def display(self) -> None:
        """The live panel."""
        recorded = next((run.id for run in recordings(self.kind)), None)
        self.live = live_panel(
            f"{self.kind}-live", self.view, self.slots, hint=self.hint, comparison=self.comparison, recorded=recorded
        )

    @property
    def shown(self) -> list[Any]:
        """The components that `show_run` updates."""
        return [self.message, self.picker, self.live, self.start, self.stop, self.resume]

    def wire(self, make_config: Callable[..., JobConfig], fields: Mapping[str, Any]) -> None:
        """Connect everything; `make_config` takes the values of `fields` by name and raises BadRequest."""

        def start(request: gr.Request, shown: str, *values: Any) -> list[Any]:
            visitor = visitor_of(request)
            return self._try(lambda: launch_form(make_config, fields, values, visitor), shown, visitor)

        def halt(shown: str, request: gr.Request) -> list[Any]:
            visitor = visitor_of(request)
            return self._try(lambda: _stop(shown, visitor), shown, visitor)

        def go_on(shown: str, request: gr.Request) -> list[Any]:
            visitor = visitor_of(request)
            return self._try(lambda: _resume(shown, visitor), shown, visitor)

        def pick(picked: str | None, request: gr.Request) -> list[Any]:
            return self.show_run(picked, visitor_of(request))

        def refresh(shown: str, request: gr.Request) -> list[Any]:
            return self.refresh(shown, visitor_of(request))

        def tell(request: gr.Request, *values: Any) -> list[Any]:
            try:
                return [quiet(), show_command(read_form(make_config, fields, values, visitor_of(request)))]
            except BadRequest as error:
                return [problem(str(error)), gr.skip()]

        self.command.click(tell, [*fields.values()], [self.message, self.shown_command], **_QUIETLY)
        events = [
            self.start.click(start, [self.live, *fields.values()], self.shown, **_ONE_AT_A_TIME, **_QUIETLY),
            self.resume.click(go_on, [self.live], self.shown, **_ONE_AT_A_TIME, **_QUIETLY),
            self.picker.input(pick, [self.picker], self.shown, **_QUIETLY),
        ]
        for event in events:
            script = f"(run, message) => tinylab.show('{self.kind}', run, message)"
            event.then(None, [self.live, self.message], None, js=script)
        told = self.stop.click(_stopping, None, [self.stop], queue=False, **_QUIETLY)
        told.then(halt, [self.live], self.shown, **_QUIETLY)
        self.live.submit(refresh, [self.live], self.shown[1:2] + self.shown[3:], queue=False, **_QUIETLY)

    def show_run(self, run_id: str | None, visitor: Visitor) -> list[Any]:
        """Updates of `shown` that show the run `run_id`, or none."""
        return [quiet(), self._picker(run_id or "", visitor), run_id or "", *self._buttons(run_id or "", visitor)]

    def refresh(self, run_id: str, visitor: Visitor) -> list[Any]:
        """Updates of picker and buttons after the state of the run has changed."""
        if not active_run():
            warm_up()
        return [self._picker(run_id, visitor), *self._buttons(run_id, visitor)]

    def _try(self, action: Callable[[], str], run_id: str, visitor: Visitor) -> list[Any]:
        """Show the run that `action` returns; a problem is said beside the buttons, and `run_id` stays shown."""
        try:
            return self.show_run(action(), visitor)
        except (BadRequest, Failure, OSError) as error:
            return [problem(str(error)), gr.skip(), gr.skip(), *self._buttons(run_id, visitor)]

    def _picker(self, run_id: str, visitor: Visitor) -> gr.Dropdown:
        choices = run_choices(visitor, self.kind)
        return gr.Dropdown(choices=choices, value=run_id if run_id in {value for _, value in choices} else None)

    def _buttons(self, run_id: str, visitor: Visitor) -> list[Any]:
        state, own = _standing(run_id, visitor)
        halts = own and state in (*ACTIVE, "queued")
        return [
            gr.Button(interactive=not halts),
            gr.Button(text("panel.stop"), interactive=halts, variant="stop" if halts else "secondary"),
            gr.Button(interactive=own and state in _RESUMABLE),
        ]


def launch_form(
    make_config: Callable[..., JobConfig], fields: Mapping[str, Any], values: Sequence[Any], visitor: Visitor
) -> str:
    """Launch or queue the job that the form asks for, and return the id of its run; see `read_form`."""
    with named_as_in_form(fields):
        config = read_form(make_config, fields, values, visitor)
        check_quota(visitor)
        return launch(config, owner=visitor.name, most=_most(visitor)).id


def _standing(run_id: str, visitor: Visitor) -> tuple[str, bool]:
    """How a run stands, "" for none, and whether the visitor may stop and resume it."""
    try:
        run = visitor.run(run_id)
        return run.status().state, visitor.may_change(run)
    except UNREADABLE:
        return "", False


def _stopping() -> gr.Button:
    return gr.Button(text("panel.stopping"), interactive=False)


def _stop(run_id: str, visitor: Visitor) -> str:
    stop(visitor.own_run(run_id))
    return run_id


def _resume(run_id: str, visitor: Visitor) -> str:
    run = visitor.own_run(run_id)
    check_may_go_on(run, visitor)
    relaunch(run, most=_most(visitor))
    return run_id


def _most(visitor: Visitor) -> int | None:
    """How many jobs a visitor may have in the queue."""
    return lab_settings().limits.queue if visitor.stranger else None


def read_form(
    make_config: Callable[..., JobConfig], fields: Mapping[str, Any], values: Sequence[Any], visitor: Visitor
) -> JobConfig:
    """What the form asks for, if the visitor may ask for it, whether there is room for it or not.

    Raises:
        BadRequest: names the field by its label, as the person sees it.
    """
    given = dict(zip(fields, values, strict=True))
    for name, field in fields.items():
        if isinstance(field, gr.Number) and given[name] is None:
            raise BadRequest(f"{_label(name, field)}: give a number")
    if "model" in given and not given["model"]:
        raise BadRequest("load a model first, in the Load tab")
    with named_as_in_form(fields):
        config = make_config(**given)
        check_allowed(config, visitor)
    return config


@contextmanager
def named_as_in_form(fields: Mapping[str, Any]) -> Iterator[None]:
    """Problems that name flags of the command line name the labels of their fields instead."""
    try:
        yield
    except BadRequest as error:
        labels = {name: _label(name, field) for name, field in fields.items()}
        raise BadRequest(_as_in_form(str(error), labels)) from None


def _label(name: str, field: Any) -> str:
    return english(getattr(field, "label", None) or name)


def _as_in_form(problem: str, labels: Mapping[str, str]) -> str:
    """A sentence that names flags of the command line, with the labels of their fields instead."""

    def label_of(flag: str) -> str | None:
        return labels.get(flag.removeprefix("--").replace("-", "_"))

    flag, colon, rest = problem.partition(": ")
    first = label_of(flag) if colon else None
    told = f"{first}: {rest}" if first else problem
    return re.sub(r"--[a-z][a-z-]*", lambda found: label_of(found[0]) or found[0], told)
