"""Quality: samples of the original and of shallow models, scored against real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.page.comparison import ComparisonMenu, named_row, row_menu
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
from app.page.prose import formula_panel, help_panel, intro
from app.texts import text
from app.views.measure_quality import SLOTS, view
from tinylab.config import EvaluateConfig
from tinylab.metrics.fidelity.names import EXTRACTORS, METRICS
from tinylab.reports.tables import score_table

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "quality", "Quality"
_DEFAULT = {name: field.default for name, field in EvaluateConfig.model_fields.items()}
_COUNT = 500  # samples: a minute or two for a model of digits on two cores


def build(lab: Lab) -> None:
    """Settings on the left; pictures and scores on the right."""
    panel = JobPanel("evaluate", text("quality.start"), view, SLOTS, hint=text("quality.hint"), comparison=named_row)
    lab.panels["evaluate"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            intro("quality")
            formula_panel("quality")
            fields = {"model": lab.model, **_plain_fields(), **_more_fields()}
            help_panel("quality", elem_id="evaluate-help")
            panel.controls()
            baseline = baseline_menu()
        with gr.Column():
            panel.display()
    panel.wire(make_config, fields)
    baseline.wire(panel.live)
    lab.follow_model(offer_samplers, fields["sampler"])
    lab.refresh("measure", shallow_models, fields["against"])


def baseline_menu() -> ComparisonMenu:
    """The menu of the rows of the scores that are shown, one of which the others are set against."""
    return row_menu("evaluate", "quality-baseline", lambda run: score_table([run.result()]).labels)


def _plain_fields() -> dict[str, Any]:
    against = against_field("evaluate")
    sampler = sampler_field("evaluate")
    steps = steps_field("evaluate", _DEFAULT["steps"])
    guidance = guidance_field("evaluate", _DEFAULT["guidance"])
    with gr.Row():
        count = number_field("evaluate", "count", _COUNT, "quality.count")
        seed = number_field("evaluate", "seed", 0, "fields.seed")
    return {
        "against": against,
        "sampler": sampler,
        "steps": steps,
        "guidance": guidance,
        "n": count,
        "seed": seed,
    }


def _more_fields() -> dict[str, Any]:
    extractors = [("auto", "auto"), *((EXTRACTORS.entry(name).label, name) for name in EXTRACTORS.names())]
    with gr.Accordion(text("panel.more"), open=False, elem_id="evaluate-more"):
        metrics = gr.CheckboxGroup(
            [(metric.label, name) for name, metric in METRICS.items()],
            value=[],
            label=text("quality.metrics"),
            info=text("quality.metrics_info"),
            elem_id="evaluate-metrics",
        )
        extractor = gr.Dropdown(
            extractors,
            value="auto",
            label=text("quality.extractor"),
            info=text("quality.extractor_info"),
            elem_id="evaluate-extractor",
        )
        weights, reference, cache = _told("weights"), _told("reference", "auto"), _told("cache", "none")
        vae = text_field("evaluate", "vae", "fields.autoencoder", info=text("fields.autoencoder_info"))
        with gr.Row():
            batch = number_field("evaluate", "batch", _DEFAULT["batch_size"], "fields.images_at_once", min_width=120)
            look: dict[str, Any] = {"info": text("quality.resamples_info"), "min_width": 120}
            resamples = number_field("evaluate", "resamples", _DEFAULT["resamples"], "quality.resamples", **look)
    named = {"metrics": metrics, "extractor": extractor, "weights": weights, "reference": reference}
    return {**named, "cache": cache, "vae": vae, "batch_size": batch, "resamples": resamples}


def _told(name: str, value: str = "") -> gr.Textbox:
    return text_field("evaluate", name, f"quality.{name}", value, info=text(f"quality.{name}_info"))


def make_config(against: Sequence[str] | None, metrics: Sequence[str] | None = None, **values: Any) -> EvaluateConfig:
    """The form's values as a config; empty texts mean the defaults."""
    texts = {name: value.strip() for name, value in values.items() if isinstance(value, str)}
    given = {name: text or _DEFAULT[name] for name, text in texts.items()}
    return EvaluateConfig.create(
        **{**values, **given, "against": tuple(against or ()), "metrics": tuple(metrics or ())}
    )
