"""Quality: samples of the original and of shallow models, scored against real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.beside import BesideMenu, named_row, row_menu
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
from app.views.measure_quality import SLOTS, view
from tinylab.config import EvaluateConfig
from tinylab.metrics.fidelity.names import EXTRACTORS, METRICS
from tinylab.reports.tables import score_table

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "quality", "Quality"
_DEFAULT = {name: field.default for name, field in EvaluateConfig.model_fields.items()}
_COUNT = 500  # samples: a minute or two for a model of digits on two cores

_INTRO = """
How near do drawn pictures come to real ones, as a **crowd**? Each model draws from the same noise; a trained network,
the *extractor*, turns every picture into features, and the scores compare the crowds of features.
"""
_HELP = """
**FID** fits a bell curve to the features of each crowd and measures how far the two are apart; lower is better, 0 is
the same. **KID** asks the same without the bell curve. **Precision**: how many samples look real. **Recall**: how much
of the real variety is drawn. **IS**: how sure and how varied the classes are. **Accuracy**: how many samples show the
digit that was asked for.

**Why few samples mislead.** A bell curve of many dimensions that is fitted to few pictures is wrong, and every error
counts as distance: FID comes out **too high**, the more so the fewer samples. So compare only scores of equally many,
and look at the interval behind each.

**The floor** is what real pictures score against other real pictures. Nobody can be expected to do better.
"""


def build(lab: Lab) -> None:
    """Settings on the left; pictures and scores on the right."""
    hint = "Pick shallow models, then press Score."
    panel = JobPanel("evaluate", "Score", view, SLOTS, hint=hint, beside=named_row)
    lab.panels["evaluate"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            gr.Markdown(_INTRO)
            fields = {"model": lab.model, **_plain_fields(), **_more_fields()}
            with gr.Accordion("What the scores say", open=False, elem_id="evaluate-help"):
                gr.Markdown(_HELP)
            panel.controls()
            baseline = baseline_menu()
        with gr.Column():
            panel.display()
    panel.wire(make_config, fields)
    baseline.wire(panel.live)
    lab.follow_model(offer_samplers, fields["sampler"])
    lab.refresh("measure", shallow_models, fields["against"])


def baseline_menu() -> BesideMenu:
    """The menu of the rows of the scores that are shown, one of which the others are set against."""
    return row_menu("evaluate", "quality-baseline", lambda run: score_table([run]).labels)


def _plain_fields() -> dict[str, Any]:
    against = against_field("evaluate")
    sampler = sampler_field("evaluate")
    steps = steps_field("evaluate", _DEFAULT["steps"])
    guidance = guidance_field("evaluate", _DEFAULT["guidance"])
    with gr.Row():
        count = number_field("evaluate", "count", _COUNT, "Samples")
        seed = number_field("evaluate", "seed", 0, "Seed")
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
    with gr.Accordion("More", open=False, elem_id="evaluate-more"):
        metrics = gr.CheckboxGroup(
            [(metric.label, name) for name, metric in METRICS.items()],
            value=[],
            label="Scores",
            info="none ticked: all that the extractor allows",
            elem_id="evaluate-metrics",
        )
        extractor = gr.Dropdown(
            extractors,
            value="auto",
            label="Extractor",
            info="what sees the features; auto: the digit reader for digits, else Inception v3",
            elem_id="evaluate-extractor",
        )
        weights = text_field(
            "evaluate", "weights", "Extractor's weights", info="file or folder, where they are not at hand"
        )
        reference = text_field(
            "evaluate", "reference", "Reference", "auto", info="real pictures: digits, an npz file or a folder"
        )
        cache = text_field(
            "evaluate", "cache", "Cache", "none", info="reuse features over steps: interval:2, first-block:0.1"
        )
        vae = text_field("evaluate", "vae", "Autoencoder", info="a diffusers folder; turns latents into pictures")
        with gr.Row():
            batch = number_field("evaluate", "batch", _DEFAULT["batch_size"], "Images at once", min_width=120)
            resamples = number_field(
                "evaluate", "resamples", _DEFAULT["resamples"], "Resamples", info="for intervals", min_width=120
            )
    named = {"metrics": metrics, "extractor": extractor, "weights": weights, "reference": reference}
    return {**named, "cache": cache, "vae": vae, "batch_size": batch, "resamples": resamples}


def make_config(against: Sequence[str] | None, metrics: Sequence[str] | None = None, **values: Any) -> EvaluateConfig:
    """The form's values as a config; empty texts mean the defaults."""
    texts = {name: value.strip() for name, value in values.items() if isinstance(value, str)}
    given = {name: text or _DEFAULT[name] for name, text in texts.items()}
    return EvaluateConfig.create(
        **{**values, **given, "against": tuple(against or ()), "metrics": tuple(metrics or ())}
    )
