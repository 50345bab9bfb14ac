"""What the tabs share on one open page."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from app.access.references import check_reference
from app.access.visitors import Visitor, visitor_of
from app.page.comparison import Comparison, ComparisonMenu, no_comparison
from app.page.live import View
from app.page.menus import Entries
from app.page.panel import JobPanel
from app.page.prose import formula_panel, help_panel, intro
from app.texts import entries, text
from tinylab.errors import BadRequest

__all__ = ["Lab", "Menu"]


@dataclass(frozen=True)
class Menu:
    """A menu of plans or models that fit the loaded model, and what was suggested in it last."""

    choices: Callable[[Visitor, str], Entries]
    dropdown: gr.Dropdown
    suggested: gr.State

    def fill(self, model: str, picked: Any, suggested: Any, request: gr.Request) -> list[Any]:
        """Updates of menu and suggestion: the newest entry for `model`, unless something else was picked before."""
        entries = _for(visitor_of(request), model, self.choices)
        values = [value for _, value in entries]
        newest = values[0] if values else None
        untouched = suggested is None or picked in (suggested, [suggested])
        if self.dropdown.multiselect:
            kept = [value for value in picked or () if value in values]
            value: Any = [newest] if untouched and newest else kept
        else:
            value = newest if untouched or picked not in values else picked
        return [gr.Dropdown(choices=entries, value=value, multiselect=self.dropdown.multiselect), newest]


@dataclass
class Lab:
    """The loaded model and what follows it, the panels by kind of job, the menus that a tab refreshes when opened, and
    the parts of tabs that have several."""

    model: gr.HTML
    followed: gr.State  # the model that everything on the page goes by
    followers: list[tuple[Callable[[str], Any], Any]] = field(default_factory=list)
    panels: dict[str, JobPanel] = field(default_factory=dict)
    menus: dict[str, list[Menu]] = field(default_factory=dict)
    parts: list[gr.Tabs] = field(default_factory=list)

    @contextmanager
    def job_tab(
        self,
        topic: str,
        kind: str,
        view: View,
        slots: Sequence[str],
        *,
        comparison: Comparison = no_comparison,
        menu: Callable[[], ComparisonMenu] | None = None,
    ) -> Iterator[JobPanel]:
        """The form of a kind of job on the left, its run on the right; fields are made in the `with`, then wired.

        Args:
            topic: of the texts: intro, formula, names of the buttons, and help where there is some.
            menu: makes the menu of what is compared with the run.
        """
        panel = JobPanel(kind, text(f"{topic}.start"), view, slots, hint=text(f"{topic}.hint"), comparison=comparison)
        self.panels[kind] = panel
        with gr.Row(elem_classes="tl-work"):
            with gr.Column():
                intro(topic)
                formula_panel(topic)
                yield panel
                if f"{topic}.help" in entries("en"):
                    help_panel(topic, elem_id=f"{kind}-help")
                panel.controls()
                other = menu() if menu else None
            with gr.Column():
                panel.display()
        if other:
            other.wire(panel.live)

    def follow_model(self, update: Callable[[str], Any], component: Any) -> None:
        """Update `component` by `update(model)` on every new page and whenever a model is loaded."""
        self.followers.append((update, component))

    def follow(self, model: str, followed: str | None, request: gr.Request) -> list[Any]:
        """Updates of `followed` and of everything that follows the model; none if it goes by `model` already."""
        if model == followed or not _may_load(visitor_of(request), model):
            return [gr.skip()] * (1 + len(self.followers))
        return [model, *(update(model) for update, _ in self.followers)]

    def refresh(self, tab: str, choices: Callable[[Visitor, str], Entries], dropdown: gr.Dropdown) -> None:
        """Fill `dropdown` by `choices` whenever the tab called `tab` is opened; what was picked stays picked."""
        self.menus.setdefault(tab, []).append(Menu(choices, dropdown, gr.State(None)))


def _may_load(visitor: Visitor, model: str) -> bool:
    try:
        check_reference(model, visitor)
    except BadRequest:
        return False
    return True


def _for(visitor: Visitor, model: str, choices: Callable[[Visitor, str], Entries]) -> Entries:
    """What a menu offers somebody for a model, nothing for a model that is not theirs to load."""
    return choices(visitor, model) if _may_load(visitor, model) else []
