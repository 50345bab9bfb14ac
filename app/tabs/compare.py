"""Compare: what simple rules would have kept, and what each choice is worth after fine-tuning."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.page.comparison import ComparisonMenu, named_row, row_menu
from app.page.fields import data_field, labelled, number_field, text_field
from app.page.lab import Lab
from app.page.menus import learned_plans
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
    with lab.job_tab(ID, "compare", view, SLOTS, comparison=named_row, menu=baseline_menu) as panel:
        plans = gr.Dropdown([], value=[], multiselect=True, **labelled("compare", "plans", "compare.plans"))
        usual = list(CompareConfig.model_fields["methods"].default)
        chosen = gr.CheckboxGroup(_methods(), value=usual, **labelled("compare", "methods", "compare.methods"))
        with gr.Row():
            steps = number_field("compare", "steps", _DEFAULT_STEPS, "compare.steps")
            seed = number_field("compare", "seed", 0, "compare.seed")
        more = _more_fields()
    panel.wire(
        make_config, {"model": lab.model, "plans": plans, "methods": chosen, "steps": steps, "seed": seed, **more}
    )
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
            names = ("seeds", "study")
            texts = {name: text_field("compare", name, f"compare.{name}", min_width=160) for name in names}
        return {**texts, "data": data_field("compare")}


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
