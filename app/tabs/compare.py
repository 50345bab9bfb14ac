"""Compare: what simple rules would have kept, and what each choice is worth after fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.beside import BesideMenu, named_row, row_menu
from app.fields import data_field
from app.lab import Lab
from app.menus import learned_plans
from app.panel import JobPanel
from app.views.compare import SLOTS, view
from tinylab.config import CompareConfig
from tinylab.errors import BadRequest
from tinylab.pruning.criteria import CRITERIA
from tinylab.reports.names import method_label
from tinylab.reports.tables import comparison_table
from tinylab.runs.contenders import LEARNED

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "compare", "Compare"
_DEFAULT_STEPS = CompareConfig.model_fields["steps"].default

_INTRO = """
Every method cuts the same model to the same number of blocks; then all are fine-tuned by the same recipe on the same
batches. Look at **both** losses: the choice that looks best right after the cut is often not the one that ends best.
"""


def build(lab: Lab) -> None:
    """Methods and recipe on the left; table, plots and strips on the right."""
    hint = "Search first; then compare its choice with simple rules."
    panel = JobPanel("compare", "Compare", view, SLOTS, hint=hint, beside=named_row)
    lab.panels["compare"] = panel
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
                _methods(),
                value=list(CompareConfig.model_fields["methods"].default),
                label="Methods",
                info="Learned searches anew, once with each seed",
                elem_id="compare-methods",
            )
            with gr.Row():
                steps = gr.Number(
                    _DEFAULT_STEPS, precision=0, label="Fine-tuning steps", elem_id="compare-steps", min_width=80
                )
                seed = gr.Number(0, precision=0, label="Seed", elem_id="compare-seed", min_width=80)
            more = _more_fields()
            panel.controls()
            baseline = baseline_menu()
        with gr.Column():
            panel.display()
    panel.wire(
        make_config, {"model": lab.model, "plans": plans, "methods": chosen, "steps": steps, "seed": seed, **more}
    )
    baseline.wire(panel.live)
    lab.refresh("compare", learned_plans, plans)


def baseline_menu() -> BesideMenu:
    """The menu of the rows of the comparison that is shown, one of which the others are set against."""
    return row_menu("compare", "baseline", lambda run: comparison_table(run).labels)


def _methods() -> list[tuple[str, str]]:
    """(label, name) of everything that chooses by itself, the search first."""
    rules = [(CRITERIA.entry(name).label, name) for name in CRITERIA.names() if name != "indices"]
    return [(method_label(LEARNED), LEARNED), *rules]


def _more_fields() -> dict[str, gr.Textbox]:
    with gr.Accordion("More", open=False, elem_id="compare-more"):
        with gr.Row():
            seeds = gr.Textbox(
                label="Seeds",
                info="several, as 0-4: means and how sure they are",
                placeholder="the seed above",
                elem_id="compare-seeds",
                max_lines=1,
                min_width=160,
            )
            study = gr.Textbox(
                label="Study",
                info="a run of `tinylab study`: ranks among all choices",
                placeholder="none",
                elem_id="compare-study",
                max_lines=1,
                min_width=160,
            )
        data = data_field()
    return {"seeds": seeds, "study": study, "data": data}


def make_config(
    plans: Sequence[str] | None,
    methods: Sequence[str] | None,
    seeds: str | None = None,
    study: str | None = None,
    **values: Any,
) -> CompareConfig:
    """The form's values as a config; empty texts mean the defaults."""
    if not plans and not methods:
        raise BadRequest("nothing to compare; pick a finished search or tick a method")
    given = {"seeds": (seeds or "").strip(), "study": (study or "").strip() or None}
    return CompareConfig.create(plans=tuple(plans or ()), methods=tuple(methods or ()), **given, **values)
