"""Generate: the original and its shallow descendants, side by side from the same noise."""

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.page.fields import labelled, number_field, offer_samplers, sampling_fields, text_field
from app.page.lab import Lab
from app.page.menus import shallow_models
from app.tabs.finetune import parse_numbers
from app.texts import text
from app.views.generate import SLOTS, view
from tinylab.config import SampleConfig

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "generate", "Generate"
_DEFAULT = {name: field.default for name, field in SampleConfig.model_fields.items()}


def build(lab: Lab) -> None:
    """Settings on the left; pictures and numbers on the right."""
    with lab.job_tab(ID, "sample", view, SLOTS) as panel:
        fields = sampling_fields("sample", _DEFAULT)
        fields["classes"] = text_field("sample", "classes", "generate.classes")
        with gr.Row():
            fields["n"] = number_field("sample", "count", _DEFAULT["n"], "generate.count")
            fields["seed"] = number_field("sample", "seed", 0, "fields.seed", info=None)
        fields |= _more_fields()
    panel.wire(make_config, {"model": lab.model, **fields})
    lab.follow_model(offer_samplers, fields["sampler"])
    lab.refresh(ID, shallow_models, fields["against"])


def _more_fields() -> dict[str, Any]:
    with gr.Accordion(text("panel.more"), open=False, elem_id="sample-more"):
        vae = text_field("sample", "vae", "fields.autoencoder")
        words = labelled("sample", "guidance-schedule", "generate.schedule")
        schedule = gr.Radio(["auto", "constant", "linear"], value="auto", **words)
        start = _DEFAULT["temperature"]
        temperature = number_field("sample", "temperature", start, "generate.temperature", min_width=160)
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
