"""Learn: four lessons on recorded data, with things to predict before they are shown."""

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from app import lessons
from app.lessons.facts import FACTS
from app.lessons.recorded import lessons_folder
from app.page.lab import Lab
from app.texts import text

__all__ = ["ID", "LESSONS", "TITLE", "Lesson", "Page", "build"]

ID, TITLE = "learn", "Learn"
_SCRIPTS = Path(lessons.__file__).parent
_FORMULAS: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]


@dataclass(frozen=True)
class Page:
    """One step of a lesson: widgets below each other, a formula beside them.

    Attributes:
        widgets: (script in `app/lessons`, part of it) for each.
        formula: the entry of the lesson's texts beside them, "" for none; several are joined by +.
        after: one that would answer the question of the page, and is shown after the guess.
    """

    widgets: tuple[tuple[str, str], ...]
    formula: str = ""
    after: str = ""


@dataclass(frozen=True)
class Lesson:
    """A lesson and its pages; the words are in `lessons.toml` under its id."""

    id: str
    pages: tuple[Page, ...]


LESSONS = (
    Lesson(
        "cut",
        (
            Page((("switches", "half"),), "formula1"),
            Page((("candidates", ""),), "formula2"),
            Page((("finalists", ""),), "formula3+sources"),
        ),
    ),
    Lesson(
        "block",
        (
            Page((("diagram", ""),), "formula1", after="formula1_after"),
            Page((("single", ""), ("switches", "free")), "formula2"),
            Page((("pairs", ""),), "formula3+sources"),
        ),
    ),
    Lesson(
        "gradient",
        (
            Page((("categorical", "softmax"),), "formula1"),
            Page((("categorical", "draw"),), "formula2"),
            Page((("categorical", "gradient"),), "formula3+sources"),
        ),
    ),
    Lesson(
        "distil",
        (
            Page((("huge", ""),), "formula1"),
            Page((("hidden", ""),), "formula2"),
            Page((("recipes", ""),), "formula3+sources"),
        ),
    ),
)


def build(lab: Lab) -> None:
    """The first page, and every lesson; which of them is shown the browser decides."""
    del lab  # lessons go by recorded data, not by the loaded model
    gr.set_static_paths([lessons_folder()])
    pages = {lesson.id: len(lesson.pages) for lesson in LESSONS}
    _component(
        "start",
        "lesson-start",
        {"lessons": json.dumps(pages)},
        facts=FACTS["start"],
        elem_id="learn-start",
        elem_classes="lesson-home",
    )
    for lesson, following in zip(LESSONS, [*LESSONS[1:], None], strict=True):
        known = {"lesson": lesson.id, "pages": str(len(lesson.pages)), "next": following.id if following else ""}
        with gr.Column(elem_id=f"lesson-{lesson.id}", elem_classes="lesson"):
            _component("nav", "lesson-nav", {**known, "part": "head"})
            for number, page in enumerate(lesson.pages, start=1):
                _page(lesson, number, page)
            _component("nav", "lesson-nav", {**known, "part": "foot"})


def _page(lesson: Lesson, number: int, page: Page) -> None:
    with gr.Row(elem_id=f"lesson-{lesson.id}-{number}", elem_classes="lesson-page"):
        with gr.Column():
            for script, part in page.widgets:
                _component(script, "lesson-widget", {"part": part}, facts=FACTS.get(script))
        if page.formula:
            with gr.Column(elem_classes="lesson-aside"):
                for entry in page.formula.split("+"):
                    _formula(lesson, entry)
                if page.after:
                    _formula(lesson, page.after, "lesson-after")


def _formula(lesson: Lesson, entry: str, css_class: str | None = None) -> None:
    gr.Markdown(text(f"lessons.{lesson.id}.{entry}"), latex_delimiters=_FORMULAS, elem_classes=css_class)


def _component(
    script: str,
    css_class: str,
    data: Mapping[str, str],
    *,
    elem_id: str | None = None,
    elem_classes: str | None = None,
    facts: Callable[[], dict[str, Any]] | None = None,
) -> gr.HTML:
    """An element that `script` fills; it may ask for `facts`, which take nothing from outside."""
    attributes = "".join(f' data-{name}="{html.escape(value)}"' for name, value in data.items() if value)
    functions = [_answering(facts)] if facts else None
    return gr.HTML(
        html_template=f'<div class="{css_class}"{attributes}></div>',
        apply_default_css=False,
        js_on_load=(_SCRIPTS / f"{script}.js").read_text(),
        server_functions=functions,
        elem_id=elem_id,
        elem_classes=elem_classes,
    )


def _answering(known: Callable[[], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    def facts(request: Any) -> dict[str, Any]:
        del request
        return known()

    return facts
