"""Sentences beside a control: what went wrong and how to mend it, or that something worked."""

from __future__ import annotations

import base64
import html

import gradio as gr

from tinylab.config import JobConfig
from tinylab.runs.command import command_of

__all__ = ["command_place", "confirm", "message_place", "problem", "quiet", "show_command"]


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
