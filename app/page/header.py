"""The top of the page: the loaded model, the queue, and buttons for tour, glossary, language, dark, projector, link."""

import html
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

import app.texts
from app.access.visitors import UNREADABLE, Visitor, visitor_of
from app.page.prose import MATHS
from app.texts import LANGUAGES, english, text
from tinylab.launch.queue import current_queue

__all__ = ["NAMES", "formulas", "model_chip", "queue_chip", "queue_state", "references", "terms", "tools"]

_SCRIPT = Path(__file__).parent.parent / "static" / "parts" / "queue-chip.js"
_FILE = Path(app.texts.__file__).parent / "terms.toml"


@cache
def terms() -> dict[str, dict[str, Any]]:
    """Every term by its key, with its formula, source and the keys of what to read next, as far as it has them."""
    return tomllib.loads(_FILE.read_text())


def formulas() -> str:
    """All formulas as Markdown, each below a heading that is the key of its term."""
    return "\n\n".join(f"#### {key}\n\n$${term['formula']}$$" for key, term in terms().items() if "formula" in term)


def references() -> dict[str, dict[str, Any]]:
    """Source and further terms of every term, for the page's script."""
    return {key: {name: term[name] for name in ("source", "see") if name in term} for key, term in terms().items()}


NAMES = {"en": "English", "de": "Deutsch"}  # each language as it calls itself
_BUTTONS = ("tour", "glossary", "dark", "projector", "link")
_TOGGLES = ("dark", "projector")


def tools() -> gr.HTML:
    """The buttons, and out of sight the formulas of the glossary, which Gradio sets and the glossary shows."""
    gr.Markdown(formulas(), latex_delimiters=MATHS, elem_id="tl-formulas", elem_classes="tl-aside")
    return gr.HTML(
        _bar(), apply_default_css=False, js_on_load="window.tinylab.styles.mount(element);", elem_id="tl-tools"
    )


def _bar() -> str:
    """In English; the script puts in the words of the page's language."""
    buttons = "".join(_button(name) for name in _BUTTONS)
    options = "".join(f'<option value="{code}" lang="{code}">{NAMES[code]}</option>' for code in LANGUAGES)
    language = _words("language")
    menu = f'<select data-tool="language" data-text="header.language" aria-label="{language}">{options}</select>'
    terms = html.escape(json.dumps(references(), ensure_ascii=False))
    return (
        f'<nav class="tl-tools" translate="no" data-text="header.tools" aria-label="{_words("tools")}" '
        f'data-terms="{terms}">{buttons}{menu}</nav>'
    )


def _button(name: str) -> str:
    pressed = ' aria-pressed="false"' if name in _TOGGLES else ""
    key = ' aria-keyshortcuts="?"' if name == "glossary" else ""
    return f'<button type="button" data-tool="{name}" data-text="header.{name}"{pressed}{key}>{_words(name)}</button>'


def _words(name: str) -> str:
    return html.escape(english(text(f"header.{name}")))


def model_chip() -> gr.HTML:
    """Shows which model is loaded, in the header. It is also where that is kept: in the page, not in the server."""
    chip = '{{#if value}}<span class="tl-chip">model <b>{{value}}</b></span>{{/if}}'
    return gr.HTML("", html_template=chip, elem_id="loaded-model", apply_default_css=False)


def queue_chip() -> gr.HTML:
    """A chip that is there while there are jobs; the names of other people's runs are not in it."""

    def ask(question: Any, request: gr.Request) -> dict[str, Any]:
        return queue_state(visitor_of(request))

    return gr.HTML(
        html_template='<a class="tl-chip tl-queue" href="#" hidden></a>',
        apply_default_css=False,
        server_functions=[ask],
        js_on_load=_SCRIPT.read_text(),
        elem_id="line",
    )


def queue_state(visitor: Visitor) -> dict[str, Any]:
    """How many jobs are at work and wait; the visitor's own first one, its place, and the seconds until it starts."""
    queue = current_queue()
    answer: dict[str, Any] = {"working": len(queue.working), "waiting": len(queue.waiting)}
    for run in (*queue.working, *queue.waiting):
        try:
            if visitor.may_change(run):
                place = queue.place(run)
                answer["own"] = {"run": run.id, "place": place.position if place else 0}
                answer["own"]["seconds"] = place.seconds if place else None
                break
        except UNREADABLE:
            continue
    return answer
