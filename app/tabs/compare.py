"""Compare: what simple rules would have kept, and what each choice is worth after fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.page.comparison import ComparisonMenu, named_row, row_menu
from app.page.fields import data_field, number_field, text_field
from app.page.lab import Lab
from app.page.menus import learned_plans
from app.page.panel import JobPanel
from app.page.prose import formula_panel, intro
from app.texts import text
from app.views.compare import SLOTS, view
from tinylab.config import CompareConfig
from tinylab.errors import BadRequest
from tinylab.jobs.compare.check import LEARNED
from tinylab.pruning.criteria import CRITERIA
from tinylab.reports.names import method_label
from tinylab.reports.tables import comparison_table

__all__ = ["ID", "TITLE", "build", "make_config"]

ID, TITLE = "compare", "Compare"
_DEFAULT_STEPS = CompareConfig.model_fields["steps"].default


def build(lab: Lab) -> None:
    """Methods and recipe on the left; table, plots and strips on the right."""
    panel = JobPanel("compare", text("compare.start"), view, SLOTS, hint=text("compare.hint"), comparison=named_row)
    lab.panels["compare"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            intro("compare")
            formula_panel("compare")
            plans = gr.Dropdown(
                [],
                value=[],
                multiselect=True,
                label=text("compare.plans"),
                info=text("compare.plans_info"),
                elem_id="compare-plans",
            )
            chosen = gr.CheckboxGroup(
                _methods(),
                value=list(CompareConfig.model_fields["methods"].default),
                label=text("compare.methods"),
                info=text("compare.methods_info"),
                elem_id="compare-methods",
            )
            with gr.Row():
                steps = number_field("compare", "steps", _DEFAULT_STEPS, "compare.steps")
                seed = number_field("compare", "seed", 0, "compare.seed")
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


def baseline_menu() -> ComparisonMenu:
    """The menu of the rows of the comparison that is shown, one of which the others are set against."""
    return row_menu("compare", "baseline", lambda run: comparison_table(run).labels)


def _methods() -> list[tuple[str, str]]:
    """(label, name) of everything that chooses by itself, the search first."""
    rules = [(CRITERIA.entry(name).label, name) for name in CRITERIA.names() if name != "indices"]
    return [(method_label(LEARNED), LEARNED), *rules]


def _more_fields() -> dict[str, gr.Textbox]:
    with gr.Accordion(text("panel.more"), open=False, elem_id="compare-more"):
        with gr.Row():
            texts = {name: _wide_text(name) for name in ("seeds", "study")}
        return {**texts, "data": data_field("compare")}


def _wide_text(name: str) -> gr.Textbox:
    words = {part: text(f"compare.{name}_{part}") for part in ("info", "placeholder")}
    return text_field("compare", name, f"compare.{name}", min_width=160, **words)


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
