"""The buttons at the top of the page: tour, glossary, language, dark, projector, link. See `static/look.js`."""

from __future__ import annotations

import html
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

import app.texts
from app.page.prose import MATHS
from app.texts import LANGUAGES, english, text

__all__ = ["NAMES", "formulas", "references", "terms", "tools"]

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
        _bar(), apply_default_css=False, js_on_load="window.tinylab.look.mount(element);", elem_id="tl-tools"
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
