"""Cost: what depth saves, measured: weights, arithmetic, seconds, memory, beside caches that need no training."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.access.visitors import UNREADABLE
from app.page.comparison import ComparisonMenu, named_row, row_menu
from app.page.fields import (
    against_field,
    guidance_field,
    labelled,
    number_field,
    sampler_field,
    text_field,
)
from app.page.lab import Lab
from app.tabs.finetune import parse_numbers
from app.texts import text
from app.views.measure_cost import SLOTS, view
from tinylab.config import CostConfig
from tinylab.errors import BadRequest
from tinylab.models.catalog import describe_model
from tinylab.reports.tables import cost_table
from tinylab.sampling.caches import check_cache, parse_cache

__all__ = ["ID", "TITLE", "build", "make_config", "offer_caches"]

ID, TITLE = "cost", "Cost"
_DEFAULT = {name: field.default for name, field in CostConfig.model_fields.items()}
_CACHES = [
    ("all blocks every 2nd step", "interval:2"),
    ("all blocks every 3rd step", "interval:3"),
    ("while the first block changes little", "first-block:0.1"),
]


def build(lab: Lab) -> dict[str, Any]:
    """Settings on the left; numbers and figures on the right; the fields by name."""
    with lab.job_tab(ID, "cost", view, SLOTS, comparison=named_row, menu=baseline_menu) as panel:
        fields = {"model": lab.model, **_plain_fields(), **_more_fields()}
    panel.wire(make_config, fields)
    lab.follow_model(offer_caches, fields["caches"])
    return fields


def baseline_menu() -> ComparisonMenu:
    """The menu of the models of the measurement that is shown, one of which the others are set against."""
    return row_menu("cost", "cost-baseline", lambda run: cost_table(run).labels)


def _plain_fields() -> dict[str, Any]:
    against = against_field("cost", info=text("cost.against_info"))
    caches = gr.CheckboxGroup(_CACHES, value=[], **labelled("cost", "caches", "cost.caches"))
    with gr.Row():
        batches = _list_field("batches", "fields.images_at_once", "batch_sizes")
        steps = _list_field("steps", "fields.steps", "step_counts")
    equal = number_field("cost", "equal", _DEFAULT["equal_seconds"], "cost.equal")
    return {"against": against, "caches": caches, "batch_sizes": batches, "step_counts": steps, "equal_seconds": equal}


def _more_fields() -> dict[str, Any]:
    with gr.Accordion(text("panel.more"), open=False, elem_id="cost-more"):
        sampler = sampler_field("cost")
        guidance = guidance_field("cost", _DEFAULT["guidance"])
        words = labelled("cost", "precision", "fields.precision")
        precision = gr.Radio(["float32", "bfloat16"], value=_DEFAULT["precision"], **words)
        with gr.Row():
            rounds = number_field("cost", "rounds", _DEFAULT["rounds"], "cost.rounds")
            seed = number_field("cost", "seed", 0, "fields.seed")
    return {"sampler": sampler, "guidance": guidance, "precision": precision, "rounds": rounds, "seed": seed}


def _list_field(name: str, label: str, setting: str) -> gr.Textbox:
    listed = ", ".join(map(str, _DEFAULT[setting]))
    return text_field("cost", name, label, listed, info=text(f"cost.{name}_info"), min_width=80)


def offer_caches(model: str) -> Any:
    """The caches that the loaded model can take, none of them ticked; a MAR can take none."""
    try:
        info = describe_model(model)
    except UNREADABLE:
        return gr.skip()
    fitting = [entry for entry in _CACHES if _fits(entry[1], info.family.name, info.depth)]
    return gr.CheckboxGroup(choices=fitting, value=[], visible=bool(fitting))


def _fits(cache: str, family: str, depth: dict[str, int]) -> bool:
    spec = parse_cache(cache)
    assert spec is not None
    try:
        check_cache(spec, family, depth)
    except BadRequest:
        return False
    return True


def make_config(
    against: Sequence[str] | None,
    caches: Sequence[str] | None = None,
    batch_sizes: str | None = None,
    step_counts: str | None = None,
    **values: Any,
) -> CostConfig:
    """The form's values as a config; empty texts mean the defaults."""
    given = {"batch_sizes": parse_numbers(batch_sizes), "step_counts": parse_numbers(step_counts)}
    named = {name: numbers for name, numbers in given.items() if numbers}
    return CostConfig.create(against=tuple(against or ()), caches=tuple(caches or ()), **named, **values)
