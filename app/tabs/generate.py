"""Generate: the original and its shallow descendants, side by side from the same noise."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.page.fields import (
    against_field,
    guidance_field,
    number_field,
    offer_samplers,
    sampler_field,
    steps_field,
    text_field,
)
from app.page.lab import Lab
from app.page.menus import shallow_models
from app.page.panel import JobPanel
from app.page.prose import formula_panel, intro
from app.tabs.finetune import parse_numbers
from app.texts import text
from app.views.generate import SLOTS, view
from tinylab.config import SampleConfig

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "generate", "Generate"
_DEFAULT = {name: field.default for name, field in SampleConfig.model_fields.items()}


def build(lab: Lab) -> None:
    """Settings on the left; pictures and numbers on the right."""
    panel = JobPanel("sample", text("generate.start"), view, SLOTS, hint=text("generate.hint"))
    lab.panels["sample"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            intro("generate")
            formula_panel("generate")
            against = against_field("sample")
            sampler = sampler_field("sample")
            steps = steps_field("sample", _DEFAULT["steps"])
            guidance = guidance_field("sample", _DEFAULT["guidance"])
            classes = _classes_field()
            with gr.Row():
                count = number_field("sample", "count", _DEFAULT["n"], "generate.count")
                seed = number_field("sample", "seed", 0, "fields.seed")
            more = _more_fields()
            panel.controls()
        with gr.Column():
            panel.display()
    fields = {"model": lab.model, "against": against, "sampler": sampler, "steps": steps, "guidance": guidance}
    panel.wire(make_config, {**fields, "classes": classes, "n": count, "seed": seed, **more})
    lab.follow_model(offer_samplers, sampler)
    lab.refresh("generate", shallow_models, against)


def _classes_field() -> gr.Textbox:
    return text_field("sample", "classes", "generate.classes", placeholder=text("generate.classes_placeholder"))


def _more_fields() -> dict[str, Any]:
    with gr.Accordion(text("panel.more"), open=False, elem_id="sample-more"):
        vae = text_field("sample", "vae", "fields.autoencoder", info=text("fields.autoencoder_info"))
        schedule = gr.Radio(
            ["auto", "constant", "linear"],
            value="auto",
            label=text("generate.schedule"),
            info=text("generate.schedule_info"),
            elem_id="sample-guidance-schedule",
        )
        temperature = number_field(
            "sample", "temperature", _DEFAULT["temperature"], "generate.temperature", min_width=160
        )
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
