"""Generate: the original and its shallow descendants, side by side from the same noise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.fields import (
    against_field,
    guidance_field,
    number_field,
    offer_samplers,
    sampler_field,
    steps_field,
    text_field,
)
from app.lab import Lab
from app.menus import shallow_models
from app.panel import JobPanel
from app.tabs.finetune import parse_numbers
from app.views.generate import SLOTS, view
from tinylab.config import SampleConfig

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "generate", "Generate"
_DEFAULT = {name: field.default for name, field in SampleConfig.model_fields.items()}

_INTRO = """
The same noise, the same classes, the same number of steps: what do half the blocks cost in quality, and what do they
save in time? Add a model that was cut but **not** fine-tuned to see what recovery is for.
"""


def build(lab: Lab) -> None:
    """Settings on the left; pictures and numbers on the right."""
    panel = JobPanel("sample", "Generate", view, SLOTS, hint="Pick shallow models, then press Generate.")
    lab.panels["sample"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            gr.Markdown(_INTRO)
            against = against_field("sample")
            sampler = sampler_field("sample")
            steps = steps_field("sample", _DEFAULT["steps"])
            guidance = guidance_field("sample", _DEFAULT["guidance"])
            classes = text_field("sample", "classes", "Classes", placeholder="all, or names or numbers: three, 5")
            with gr.Row():
                count = number_field("sample", "count", _DEFAULT["n"], "Images")
                seed = number_field("sample", "seed", 0, "Seed")
            more = _more_fields()
            panel.controls()
        with gr.Column():
            panel.display()
    fields = {"model": lab.model, "against": against, "sampler": sampler, "steps": steps, "guidance": guidance}
    panel.wire(make_config, {**fields, "classes": classes, "n": count, "seed": seed, **more})
    lab.follow_model(offer_samplers, sampler)
    lab.refresh("generate", shallow_models, against)


def _more_fields() -> dict[str, Any]:
    with gr.Accordion("More", open=False, elem_id="sample-more"):
        vae = gr.Textbox("", label="Autoencoder", info="a diffusers folder; turns latents into pictures", max_lines=1)
        schedule = gr.Radio(
            ["auto", "constant", "linear"],
            value="auto",
            label="Guidance over the rounds of a MAR",
            info="auto grows linearly, as published",
        )
        temperature = gr.Number(_DEFAULT["temperature"], label="Temperature of a MAR's tokens")
    return {"vae": vae, "guidance_schedule": schedule, "temperature": temperature}


def make_config(
    against: Sequence[str] | None, classes: str | None, vae: str | None = None, **values: Any
) -> SampleConfig:
    """The form's values as a config."""
    return SampleConfig.create(
        vae=(vae or "").strip() or None, against=tuple(against or ()), classes=_parse_classes(classes), **values
    )


def _parse_classes(text: str | None) -> tuple[str, ...] | None:
    """Numbers or names between commas; numbers may stand between spaces, too. None for an empty text."""
    if re.fullmatch(r"[\d\s,]*", text or ""):
        return parse_numbers(text)
    return tuple(part.strip() for part in (text or "").split(",") if part.strip()) or None
