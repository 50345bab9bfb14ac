"""The English words that the page is made of, other than its texts: what menus offer, and what views and figures say.

They are read off the built page and off the source of views, figures and tables, so that none can be forgotten.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.texts import english, entries
from app.ui import build_page
from app.views.names import STATES
from app.views.settings import LABELS, choices
from tinylab.config import FinetuneConfig
from tinylab.config.choices import LOSSES

__all__ = ["is_said", "shown_words"]

_ROOT = Path(__file__).resolve().parent.parent
_SOURCES = (
    "app/views",
    "tinylab/figures",
    "tinylab/reports/tables",
    "tinylab/reports/comparison.py",
    "app/tabs/load.py",
)
_NAMED = ("heading", "unit", "label", "title")  # arguments that are shown wherever they are given
_PLACES = {"Column": 1, "Table": 1, "axis": 0, "log_axis": 0, "losses": 1}  # arguments that are shown, by function
_MARKUP = re.compile(r"<(h[1-6]|b|span|p)[^<>]*>([^<>{}]+)</")  # words between tags


def shown_words() -> dict[str, str]:
    """Each of them with the place where it was found. A part that is filled in later stands as {}."""
    found = {words: "STATES" for state in STATES.values() for words in (state, state.lower())}
    found |= {words: "settings" for words in (*LABELS.values(), *(row.summary for row in LOSSES.rows()))}
    found |= {label: f"choices of {name}" for name in FinetuneConfig.model_fields for label, _ in choices(name)}
    found |= {label: f"choices of {place}" for place, label in _choices()}
    for source in _SOURCES:
        path = _ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found |= {words: str(file.relative_to(_ROOT)) for words in _words_of(ast.parse(file.read_text()))}
    return {words: place for words, place in found.items() if re.search(r"[A-Za-z]{2}", words.replace("{}", ""))}


def _choices() -> Iterator[tuple[str, str]]:
    for block in build_page().blocks.values():
        for label, _ in getattr(block, "choices", None) or ():
            yield str(block.elem_id), english(label)


def _words_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = _PLACES.get(name)
            shown: list[Any] = [word.value for word in node.keywords if word.arg in _NAMED]
            shown += node.args[place : place + 1] if place is not None else []
            yield from filter(None, map(_plain, shown))
        elif isinstance(node, ast.JoinedStr | ast.Constant):
            text = _plain(node)
            yield from (found[1].strip() for found in _MARKUP.findall(text or "")) if text else ()


def _plain(node: ast.AST) -> str | None:
    """A string or an f-string as it reads in words.toml; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if not isinstance(node, ast.JoinedStr):
        return None
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def is_said(words: str, known: dict[str, str], texts: frozenset[str] | None = None) -> bool:
    """Whether the page's script would find a translation of `words` in `known`, as `translate.js` looks for it."""
    if words in known or words in (texts if texts is not None else frozenset(entries("en").values())):
        return True
    filled = words.replace("{}", "7")
    return any(_form(pattern).fullmatch(filled) for pattern in known if "{" in pattern)


def _form(pattern: str) -> re.Pattern[str]:
    places = {"{}": "(.+?)", "{#}": r"([\d.,:%×±+−–-]+)"}
    parts = re.split(r"(\{#?\})", pattern)
    return re.compile("".join(places.get(part, re.escape(part)) for part in parts), re.DOTALL)
