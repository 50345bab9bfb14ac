"""The words of the page in every language: a folder a language, a TOML file a topic, for people who do not program.

`text("search.intro")` is the entry `intro` of `search.toml`, for a component of Gradio: the browser picks the language.
`words.toml` is different: it maps the English words that views, figures and menus are made of to another language.
"""

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import gradio as gr
from gradio.i18n import I18nData

__all__ = ["LANGUAGES", "TEXTS", "english", "entries", "text", "words_script"]

_HERE = Path(__file__).parent
_WORDS = "words"
LANGUAGES = ("en", "de")  # the first one is what everything falls back to


@cache
def entries(language: str) -> Mapping[str, str]:
    """All texts of a language by `topic.name`; tables in a file add their names: `topic.table.name`."""
    found: dict[str, str] = {}
    for file in sorted((_HERE / language).glob("*.toml")):
        if file.stem != _WORDS:
            found |= _flat(file.stem, tomllib.loads(file.read_text()))
    return MappingProxyType(found)


def _flat(prefix: str, table: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in table.items():
        found |= _flat(f"{prefix}.{name}", value) if isinstance(value, dict) else {f"{prefix}.{name}": str(value)}
    return found


TEXTS = gr.I18n(**{language: {**entries(LANGUAGES[0]), **entries(language)} for language in LANGUAGES})


def text(key: str) -> Any:
    """A text for a label, an info, a placeholder or a value of a component; the browser translates it (`I18nData`).

    Raises:
        KeyError: there is no such text.
    """
    entries(LANGUAGES[0])[key]
    return TEXTS(key)


def english(label: object) -> str:
    """What a label says in English, be it a text or plain words."""
    return entries(LANGUAGES[0])[label.key] if isinstance(label, I18nData) else str(label)


def words_script() -> str:
    """JavaScript that gives the page all texts and words: `tinylabTexts[language]` has `texts` and `words`."""
    both = {language: {"texts": dict(entries(language)), "words": _words(language)} for language in LANGUAGES}
    return "window.tinylabTexts = " + json.dumps(both).replace("</", "<\\/") + ";"


def _words(language: str) -> dict[str, str]:
    file = _HERE / language / f"{_WORDS}.toml"
    return tomllib.loads(file.read_text()) if file.is_file() else {}
