"""The words around the controls of a tab: its purpose, its formula, how to read it; and messages beside a control."""

import base64
import html
from typing import Any

import gradio as gr

from app.texts import text
from tinylab.config import JobConfig
from tinylab.runs.command import command_of

__all__ = [
    "MATHS",
    "command_place",
    "confirm",
    "formula_panel",
    "help_panel",
    "intro",
    "message_place",
    "problem",
    "quiet",
    "show_command",
]

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


def message_place(elem_id: str) -> gr.HTML:
    """Where the sentences of one control appear."""
    return gr.HTML("", elem_id=elem_id, visible=False, apply_default_css=False)


def problem(text: str) -> gr.HTML:
    """Say what went wrong; `text` may quote anything."""
    return gr.HTML(f'<div class="tl-error" role="alert">{_sentence(text)}</div>', visible=True)


def confirm(text: str) -> gr.HTML:
    """Say that it worked; `text` may quote anything."""
    return gr.HTML(f'<div class="tl-done" role="status">{_sentence(text)}</div>', visible=True)


def quiet() -> gr.HTML:
    """Say nothing."""
    return gr.HTML("", visible=False)


def _sentence(text: str) -> str:
    return html.escape(text[:1].upper() + text[1:])


def command_place(kind: str) -> gr.HTML:
    """Where the command of a form appears."""
    return gr.HTML("", elem_id=f"{kind}-command-text", visible=False, apply_default_css=False)


def show_command(config: JobConfig) -> gr.HTML:
    """The command line of a job, with what copies it, and a notebook of it to save."""
    from tinylab.runs.notebook import notebook_of

    command = html.escape(command_of(config))
    data = base64.b64encode(notebook_of([config]).encode()).decode()
    name = f"tinylab-{config.kind}.ipynb"
    return gr.HTML(
        f'<div class="tl-command"><pre><code>{command}</code></pre><div class="tl-save">'
        f'<button type="button" class="tl-copy">Copy</button>'
        f'<a download="{name}" href="data:application/x-ipynb+json;base64,{data}">Notebook</a></div></div>',
        visible=True,
    )
