"""Sentences beside a control: what went wrong and how to mend it, or that something worked."""

from __future__ import annotations

import html

import gradio as gr

__all__ = ["confirm", "message_place", "problem", "quiet"]


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
