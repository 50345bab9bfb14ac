"""What the working tabs share: start, stop and resume a job, pick a run, show it live."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from app.beside import Beside, nothing_beside
from app.live import View, live_panel
from app.menus import run_choices
from app.messages import message_place, problem, quiet
from app.run_ids import known_run, run_state
from tinylab.config import JobConfig
from tinylab.errors import BadRequest, Failure
from tinylab.runs.launch import active_run, launch, relaunch, stop, warm_up
from tinylab.runs.record import ACTIVE

__all__ = ["JobPanel", "launch_form"]

_RESUMABLE = ("stopped", "interrupted", "failed", "created")
_QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "jobs", "concurrency_limit": 1}


class JobPanel:
    """Controls and display of one kind of job.

    Build `controls()` and `display()` where they belong, then `wire()` them.

    Args:
        kind: the kind of job, also the prefix of all element ids.
        verb: what the start button says.
        beside: what may be set beside the run, see `app.beside`.
    """

    def __init__(
        self,
        kind: str,
        verb: str,
        view: View,
        slots: Sequence[str],
        *,
        hint: str,
        beside: Beside = nothing_beside,
    ) -> None:
        self.kind, self.verb, self.view, self.slots, self.hint = kind, verb, view, slots, hint
        self.beside = beside

    def controls(self) -> None:
        """The buttons, the place for errors beside them, and the menu of earlier runs."""
        with gr.Row(elem_classes="tl-buttons"):
            self.start = gr.Button(self.verb, variant="primary", elem_id=f"{self.kind}-start", min_width=80)
            self.stop = gr.Button("Stop", interactive=False, elem_id=f"{self.kind}-stop", min_width=60)
            self.resume = gr.Button("Resume", interactive=False, elem_id=f"{self.kind}-resume", min_width=60)
        self.message = message_place(f"{self.kind}-message")
        self.picker = gr.Dropdown(
            choices=run_choices(self.kind),
            value=None,
            label="Earlier runs",
            elem_id=f"{self.kind}-runs",
            interactive=True,
        )

    def display(self) -> None:
        """The live panel."""
        self.live = live_panel(f"{self.kind}-live", self.view, self.slots, hint=self.hint, beside=self.beside)

    @property
    def shown(self) -> list[Any]:
        """The components that `show_run` updates."""
        return [self.message, self.picker, self.live, self.start, self.stop, self.resume]

    def wire(self, make_config: Callable[..., JobConfig], fields: Mapping[str, Any]) -> None:
        """Connect everything; `make_config` takes the values of `fields` by name and raises BadRequest."""

        def start(shown: str, *values: Any) -> list[Any]:
            return self._try(lambda: launch_form(make_config, fields, values), shown)

        def halt(shown: str) -> list[Any]:
            return self._try(lambda: _stop(shown), shown)

        def go_on(shown: str) -> list[Any]:
            return self._try(lambda: _resume(shown), shown)

        events = [
            self.start.click(start, [self.live, *fields.values()], self.shown, **_ONE_AT_A_TIME, **_QUIETLY),
            self.resume.click(go_on, [self.live], self.shown, **_ONE_AT_A_TIME, **_QUIETLY),
            self.picker.input(self.show_run, [self.picker], self.shown, **_QUIETLY),
        ]
        for event in events:
            script = f"(run, message) => tinylab.show('{self.kind}', run, message)"
            event.then(None, [self.live, self.message], None, js=script)
        told = self.stop.click(_stopping, None, [self.stop], queue=False, **_QUIETLY)
        told.then(halt, [self.live], self.shown, **_QUIETLY)
        self.live.submit(self.refresh, [self.live], self.shown[1:2] + self.shown[3:], queue=False, **_QUIETLY)

    def show_run(self, run_id: str | None) -> list[Any]:
        """Updates of `shown` that show the run `run_id`, or none."""
        return [quiet(), self._picker(run_id or ""), run_id or "", *self._buttons(run_id or "")]

    def refresh(self, run_id: str) -> list[Any]:
        """Updates of picker and buttons after the state of the run has changed."""
        if not active_run():
            warm_up()
        return [self._picker(run_id), *self._buttons(run_id)]

    def _try(self, action: Callable[[], str], run_id: str) -> list[Any]:
        """Show the run that `action` returns; a problem is said beside the buttons, and `run_id` stays shown."""
        try:
            return self.show_run(action())
        except (BadRequest, Failure, OSError) as error:
            return [problem(str(error)), gr.skip(), gr.skip(), *self._buttons(run_id)]

    def _picker(self, run_id: str) -> gr.Dropdown:
        choices = run_choices(self.kind)
        return gr.Dropdown(choices=choices, value=run_id if run_id in {value for _, value in choices} else None)

    def _buttons(self, run_id: str) -> list[Any]:
        state = run_state(run_id)
        active = state in ACTIVE
        return [
            gr.Button(interactive=not active),
            gr.Button("Stop", interactive=active, variant="stop" if active else "secondary"),
            gr.Button(interactive=state in _RESUMABLE),
        ]


def launch_form(make_config: Callable[..., JobConfig], fields: Mapping[str, Any], values: Sequence[Any]) -> str:
    """Launch the job that the form asks for and return the id of its run.

    Raises:
        BadRequest: names the field by its label, as the person sees it.
    """
    labels = {name: getattr(field, "label", None) or name for name, field in fields.items()}
    given = dict(zip(fields, values, strict=True))
    for name, field in fields.items():
        if isinstance(field, gr.Number) and given[name] is None:
            raise BadRequest(f"{labels[name]}: give a number")
    if "model" in given and not given["model"]:
        raise BadRequest("load a model first, in the Load tab")
    try:
        return launch(make_config(**given)).id
    except BadRequest as error:
        raise BadRequest(_as_in_form(str(error), labels)) from None


def _as_in_form(problem: str, labels: Mapping[str, str]) -> str:
    """A sentence that names flags of the command line, with the labels of their fields instead."""

    def label_of(flag: str) -> str | None:
        return labels.get(flag.removeprefix("--").replace("-", "_"))

    flag, colon, rest = problem.partition(": ")
    first = label_of(flag) if colon else None
    told = f"{first}: {rest}" if first else problem
    return re.sub(r"--[a-z][a-z-]*", lambda found: label_of(found[0]) or found[0], told)


def _stopping() -> gr.Button:
    return gr.Button("Stopping…", interactive=False)


def _stop(run_id: str) -> str:
    stop(known_run(run_id))
    return run_id


def _resume(run_id: str) -> str:
    relaunch(known_run(run_id))
    return run_id
