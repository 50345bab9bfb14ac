"""Fields that several tabs have."""

from __future__ import annotations

import gradio as gr

__all__ = ["data_field"]


def data_field() -> gr.Textbox:
    """What to learn from; digit models need nothing here."""
    return gr.Textbox(
        "auto",
        label="Data",
        info="auto: the digits, for models of digits; else a folder of latents or an encode run",
        max_lines=1,
    )
