"""Quality: samples of the original and of shallow models, scored against real pictures."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.page.comparison import ComparisonMenu, named_row, row_menu
from app.page.fields import labelled, number_field, sampling_fields, text_field
from app.page.lab import Lab
from app.texts import text
from app.views.measure_quality import SLOTS, view
from tinylab.config import EvaluateConfig
from tinylab.metrics.fidelity.names import EXTRACTORS, METRICS
from tinylab.reports.tables import score_table

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "quality", "Quality"
_DEFAULT = {name: field.default for name, field in EvaluateConfig.model_fields.items()}
_COUNT = 500  # samples: a minute or two for a model of digits on two cores


def build(lab: Lab) -> dict[str, Any]:
    """Settings on the left; pictures and scores on the right; the fields by name."""
    with lab.job_tab(ID, "evaluate", view, SLOTS, comparison=named_row, menu=baseline_menu) as panel:
        fields = {"model": lab.model, **sampling_fields("evaluate", _DEFAULT)}
        with gr.Row():
            fields["n"] = number_field("evaluate", "count", _COUNT, "quality.count")
            fields["seed"] = number_field("evaluate", "seed", 0, "fields.seed", info=None)
        fields |= _more_fields()
    panel.wire(make_config, fields)
    return fields


def baseline_menu() -> ComparisonMenu:
    """The menu of the rows of the scores that are shown, one of which the others are set against."""
    return row_menu("evaluate", "quality-baseline", lambda run: score_table([run.result()]).labels)


def _more_fields() -> dict[str, Any]:
    extractors = [("auto", "auto"), *((EXTRACTORS.entry(name).label, name) for name in EXTRACTORS.names())]
    with gr.Accordion(text("panel.more"), open=False, elem_id="evaluate-more"):
        scores = [(metric.label, name) for name, metric in METRICS.items()]
        metrics = gr.CheckboxGroup(scores, value=[], **labelled("evaluate", "metrics", "quality.metrics"))
        extractor = gr.Dropdown(extractors, value="auto", **labelled("evaluate", "extractor", "quality.extractor"))
        usual = {"weights": "", "reference": "auto", "cache": "none"}
        texts = {name: text_field("evaluate", name, f"quality.{name}", value) for name, value in usual.items()}
        vae = text_field("evaluate", "vae", "fields.autoencoder")
        with gr.Row():
            batch = number_field("evaluate", "batch", _DEFAULT["batch_size"], "fields.images_at_once", min_width=120)
            start = _DEFAULT["resamples"]
            resamples = number_field("evaluate", "resamples", start, "quality.resamples", min_width=120)
    named = {"metrics": metrics, "extractor": extractor, **texts}
    return {**named, "vae": vae, "batch_size": batch, "resamples": resamples}


def make_config(against: Sequence[str] | None, metrics: Sequence[str] | None = None, **values: Any) -> EvaluateConfig:
    """The form's values as a config; empty texts mean the defaults."""
    texts = {name: value.strip() for name, value in values.items() if isinstance(value, str)}
    given = {name: text or _DEFAULT[name] for name, text in texts.items()}
    return EvaluateConfig.create(
        **{**values, **given, "against": tuple(against or ()), "metrics": tuple(metrics or ())}
    )
