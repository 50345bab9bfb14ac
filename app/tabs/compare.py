"""Compare: what simple rules would have kept, and what each choice is worth after fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.fields import data_field
from app.lab import Lab
from app.menus import learned_plans
from app.panel import JobPanel
from app.views.compare import SLOTS, view
from tinylab.config import CompareConfig
from tinylab.errors import BadRequest
from tinylab.pruning.criteria import CRITERIA

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "compare", "Compare"
_DEFAULT_STEPS = CompareConfig.model_fields["steps"].default

_INTRO = """
Every method cuts the same model to the same number of blocks; then all are fine-tuned by the same recipe on the same
batches. Look at **both** losses: the choice that looks best right after the cut is often not the one that ends best.
"""


def build(lab: Lab) -> None:
    """Methods and recipe on the left; table, plot and strips on the right."""
    panel = JobPanel("compare", "Compare", view, SLOTS, hint="Search first; then compare its choice with simple rules.")
    lab.panels["compare"] = panel
    methods = [(CRITERIA.entry(name).label, name) for name in CRITERIA.names() if name != "indices"]
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            gr.Markdown(_INTRO)
            plans = gr.Dropdown(
                [],
                value=[],
                multiselect=True,
                label="Learned choices",
                info="finished searches",
                elem_id="compare-plans",
            )
            chosen = gr.CheckboxGroup(
                methods,
                value=list(CompareConfig.model_fields["methods"].default),
                label="Baselines",
                elem_id="compare-methods",
            )
            with gr.Row():
                steps = gr.Number(
                    _DEFAULT_STEPS, precision=0, label="Fine-tuning steps", elem_id="compare-steps", min_width=80
                )
                seed = gr.Number(0, precision=0, label="Seed", elem_id="compare-seed", min_width=80)
            with gr.Accordion("More", open=False, elem_id="compare-more"):
                data = data_field()
            panel.controls()
        with gr.Column():
            panel.display()
    fields = {"model": lab.model, "plans": plans, "methods": chosen, "steps": steps, "seed": seed, "data": data}
    panel.wire(make_config, fields)
    lab.refresh("compare", learned_plans, plans)


def make_config(plans: Sequence[str] | None, methods: Sequence[str] | None, **values: Any) -> CompareConfig:
    """The form's values as a config."""
    if not plans and not methods:
        raise BadRequest("nothing to compare; pick a finished search or tick a baseline")
    return CompareConfig.create(plans=tuple(plans or ()), methods=tuple(methods or ()), **values)
