"""What a panel compares its run with: a second run, or one row that the others are measured by.

The page keeps the choice and sends it with every question, and the address names it. The browser half is
`tinylab.compareWith` in `static/page.js`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr

from app.access.visitors import UNREADABLE, Visitor, visitor_of
from app.page.context import attach
from app.page.menus import Entries, rows_of
from app.texts import text
from tinylab.runs.run import Run

__all__ = ["Comparison", "ComparisonMenu", "named_row", "no_comparison", "other_run", "row_menu"]

# From who asks, a run and what it is to be compared with, which may be anything, to what the view gets, or None.
Comparison = Callable[[Visitor, Run, Any], Run | str | None]

_LONGEST = 300  # characters of the name of a row
_QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}


def no_comparison(visitor: Visitor, run: Run, asked: Any) -> None:
    """For panels that show a run alone."""


def other_run(visitor: Visitor, run: Run, asked: Any) -> Run | None:
    """The other run that is asked for, if it is one of the same kind."""
    try:
        other = visitor.run(asked)
        fits = other.id != run.id and other.config().kind == run.config().kind
        other.status()
    except UNREADABLE:
        return None
    return other if fits else None


def named_row(visitor: Visitor, run: Run, asked: Any) -> str | None:
    """The name of a row, still to be looked for in a table of the run."""
    return asked if isinstance(asked, str) and 0 < len(asked) <= _LONGEST else None


class ComparisonMenu:
    """The menu of what a panel compares its run with, "" for nothing. It goes by the run that is shown.

    Args:
        kind: of the panel.
        key: what the address calls the choice; no other menu of the page has the same.
        choices: what there is for who asks and the run with an id, "" for none; its first entry is nothing.
        style: of the dropdown.
    """

    def __init__(self, kind: str, key: str, choices: Callable[[Visitor, str], Entries], **style: Any) -> None:
        self.kind, self.key, self.choices = kind, key, choices
        self.dropdown = gr.Dropdown([("nothing", "")], value="", **style)

    def wire(self, live: gr.HTML) -> None:
        """Follow the panel `live`; the page and the address keep the choice."""
        script = f"(other) => tinylab.compareWith('{self.kind}', '{self.key}', other)"
        keep: dict[str, Any] = {"js": script, "show_progress": "hidden", "api_visibility": "private"}
        self.dropdown.input(None, [self.dropdown], None, **keep)
        for event in (
            gr.on(None, self.recall, None, [self.dropdown], **_QUIETLY),  # on every new page
            live.submit(self.offer, [live, self.dropdown], [self.dropdown], **_QUIETLY),
        ):
            event.then(None, [self.dropdown], None, **keep)

    def recall(self, request: gr.Request) -> gr.Dropdown:
        """The menu on a new page: what the address names, if it is there, else nothing."""
        query = dict(request.query_params)
        wanted = query.get(self.key, "")
        visitor = visitor_of(request)
        choices = self.choices(visitor, attach(query, visitor).runs.get(self.kind, "") if wanted else "")
        return gr.Dropdown(choices=choices, value=wanted if wanted in _values(choices) else "")

    def offer(self, shown: str, picked: str | None, request: gr.Request) -> gr.Dropdown:
        """The menu for the run that is shown; what was picked stays picked as long as it can."""
        choices = self.choices(visitor_of(request), shown)
        if picked in _values(choices):
            return gr.Dropdown(choices=choices)
        return gr.Dropdown(choices=choices, value="")


def row_menu(kind: str, key: str, labels: Callable[[Run], Iterable[str]]) -> ComparisonMenu:
    """The menu of the rows of a table, one of which the others are set against; `labels` names those of a run."""
    return ComparisonMenu(
        kind,
        key,
        lambda visitor, shown: rows_of(visitor, shown, labels),
        label=text("panel.set_against"),
        info=text("panel.set_against_info"),
        elem_id=f"{kind}-beside",
    )


def _values(choices: Entries) -> list[str]:
    return [value for _, value in choices]
