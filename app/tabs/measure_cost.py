"""Cost: what depth saves, measured: weights, arithmetic, seconds, memory, beside caches that need no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from app.beside import BesideMenu, named_row, row_menu
from app.fields import against_field, guidance_field, number_field, offer_samplers, sampler_field, text_field
from app.lab import Lab
from app.menus import shallow_models
from app.panel import JobPanel
from app.run_ids import UNREADABLE
from app.tabs.finetune import parse_numbers
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

_INTRO = """
Half the blocks could be **twice as fast**, but only if blocks were all there is to do. What is not a block (embedding,
the last layer, the sampler itself) takes its time whatever the depth. Here the models take turns, so that all of them
meet the same moods of the machine.
"""
_HELP = """
**The limit** is the ratio of the depths: 12 blocks to 6 can be no more than 2 times as fast. **Expected** is the
speed-up that is left of it when only the measured share of the blocks shrinks. **Multiply-adds** are the arithmetic of
one image; they do not depend on the machine. **A cache** keeps what blocks computed in one step for the next: faster
without any training, at a price in quality.

**At equal seconds** every model gets the time that an image of the first shallow one takes, and draws as many steps as
it can in it; then the samples are scored, so that speed turns into quality.
"""


def build(lab: Lab) -> None:
    """Settings on the left; numbers and figures on the right."""
    hint = "Press Measure: nothing has to be trained for it."
    panel = JobPanel("cost", "Measure", view, SLOTS, hint=hint, beside=named_row)
    lab.panels["cost"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            gr.Markdown(_INTRO)
            fields = {"model": lab.model, **_plain_fields(), **_more_fields()}
            with gr.Accordion("What the numbers say", open=False, elem_id="cost-help"):
                gr.Markdown(_HELP)
            panel.controls()
            baseline = baseline_menu()
        with gr.Column():
            panel.display()
    panel.wire(make_config, fields)
    baseline.wire(panel.live)
    lab.follow_model(offer_samplers, fields["sampler"])
    lab.follow_model(offer_caches, fields["caches"])
    lab.refresh("measure", shallow_models, fields["against"])


def baseline_menu() -> BesideMenu:
    """The menu of the models of the measurement that is shown, one of which the others are set against."""
    return row_menu("cost", "cost-baseline", lambda run: cost_table(run).labels)


def _plain_fields() -> dict[str, Any]:
    against = against_field("cost", info="shallow models of your runs; none: every second block")
    caches = gr.CheckboxGroup(
        _CACHES,
        value=[],
        label="Caches",
        info="rivals that skip blocks in some steps instead",
        elem_id="cost-caches",
    )
    with gr.Row():
        batches = text_field("cost", "batches", "Images at once", _listed("batch_sizes"), info="as 1, 16", min_width=80)
        steps = text_field("cost", "steps", "Steps", _listed("step_counts"), info="as 20, 50", min_width=80)
    equal = number_field(
        "cost", "equal", _DEFAULT["equal_seconds"], "Score at equal seconds", info="samples of each model; 0: do not"
    )
    return {"against": against, "caches": caches, "batch_sizes": batches, "step_counts": steps, "equal_seconds": equal}


def _more_fields() -> dict[str, Any]:
    with gr.Accordion("More", open=False, elem_id="cost-more"):
        sampler = sampler_field("cost")
        guidance = guidance_field("cost", _DEFAULT["guidance"])
        precision = gr.Radio(
            ["float32", "bfloat16"], value=_DEFAULT["precision"], label="Precision", elem_id="cost-precision"
        )
        with gr.Row():
            rounds = number_field("cost", "rounds", _DEFAULT["rounds"], "Rounds", info="medians are shown")
            seed = number_field("cost", "seed", 0, "Seed", info="of the noise")
    return {"sampler": sampler, "guidance": guidance, "precision": precision, "rounds": rounds, "seed": seed}


def _listed(name: str) -> str:
    return ", ".join(map(str, _DEFAULT[name]))


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
