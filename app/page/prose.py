"""The words around the controls of a tab: what it is for, the formula behind it, how to read what it shows."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.texts import text

__all__ = ["MATHS", "formula_panel", "help_panel", "intro"]

MATHS: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]


def intro(tab: str) -> gr.Markdown:
    """What a tab is for. Terms of the glossary in it are explained where one points at them."""
    return gr.Markdown(text(f"{tab}.intro"), elem_classes="tl-intro")


def formula_panel(tab: str) -> None:
    """The formula beside the picture: what it says, what its symbols are here, where it is from."""
    with gr.Accordion(text("formulas.title"), open=False, elem_id=f"{tab}-formula", elem_classes="tl-formula"):
        gr.Markdown(text(f"formulas.{tab}"), latex_delimiters=MATHS, elem_classes="tl-help")


def help_panel(tab: str, **look: Any) -> None:
    """How to read what a tab shows."""
    with gr.Accordion(text(f"{tab}.help_title"), open=False, **look):
        gr.Markdown(text(f"{tab}.help"), elem_classes="tl-help")
