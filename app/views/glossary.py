"""The glossary's terms: what they have in every language, and their formulas as Markdown for Gradio to set."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import app.texts

__all__ = ["formulas", "references", "terms"]

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
