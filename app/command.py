"""Show me the command: what a form asks for, as a person would type it, or run it in a notebook."""

from __future__ import annotations

import base64
import html

import gradio as gr

from tinylab.config import JobConfig
from tinylab.runs.command import command_of

__all__ = ["command_place", "show_command"]


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
