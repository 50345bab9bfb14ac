"""Fine-tune: let a shallow model recover."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.fields import data_field
from app.lab import Lab
from app.menus import plan_sources
from app.panel import JobPanel
from app.views.finetune import SLOTS, view
from tinylab.config import FinetuneConfig
from tinylab.errors import BadRequest

__all__ = ["ID", "TITLE", "build", "make_config", "parse_numbers"]

ID, TITLE = "finetune", "Fine-tune"

_INTRO = """
The shallow model trains on, with the weights of the blocks it kept. The film shows the same noise turning into digits
better and better.
"""
_DEFAULT = {name: field.default for name, field in FinetuneConfig.model_fields.items()}


def build(lab: Lab) -> None:
    """Recipe on the left; loss and film on the right."""
    panel = JobPanel("finetune", "Fine-tune", view, SLOTS, hint="Pick which blocks to keep, then press Fine-tune.")
    lab.panels["finetune"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            gr.Markdown(_INTRO)
            plan = gr.Dropdown(
                [],
                value=None,
                label="Which blocks",
                info="a finished search, or a row of a comparison",
                elem_id="finetune-plan",
            )
            by_hand = gr.Textbox(
                "",
                label="Or by hand",
                placeholder="0, 2, 4, 7 or e0, e3, d1",
                elem_id="finetune-indices",
                max_lines=1,
            )
            with gr.Row():
                steps = gr.Number(_DEFAULT["steps"], precision=0, label="Steps", elem_id="finetune-steps", min_width=80)
                seed = gr.Number(0, precision=0, label="Seed", elem_id="finetune-seed", min_width=80)
            more = _more_fields()
            panel.controls()
        with gr.Column():
            panel.display()
    fields = {"model": lab.model, "plan": plan, "indices": by_hand, "steps": steps, "seed": seed, **more}
    panel.wire(make_config, fields)
    lab.refresh("finetune", plan_sources, plan)


def _more_fields() -> dict[str, gr.Number | gr.Textbox]:
    with gr.Accordion("More", open=False, elem_id="finetune-more"):
        with gr.Row():
            rate = gr.Number(_DEFAULT["lr"], label="Learning rate", min_width=120)
            batch = gr.Number(_DEFAULT["batch_size"], precision=0, label="Images a step", min_width=120)
            ema = gr.Number(_DEFAULT["ema_decay"], label="Averaging decay", min_width=120)
            every = gr.Number(_DEFAULT["snapshot_every"], precision=0, label="Snapshot every", min_width=120)
        data = data_field()
    return {"data": data, "lr": rate, "batch_size": batch, "ema_decay": ema, "snapshot_every": every}


def make_config(model: str, plan: str | None, indices: str | None, **values: Any) -> FinetuneConfig:
    """The form's values as a config; blocks named by hand go before the menu."""
    named = parse_numbers(indices)
    if named is None and not plan:
        raise BadRequest("pick which blocks to keep, or name them by hand, such as 0, 2, 4, 7, 9, 11")
    if named is None:
        return FinetuneConfig.create(plan=plan, **values)
    return FinetuneConfig.create(model=model, indices=named, **values)


def parse_numbers(text: str | None) -> tuple[str, ...] | None:
    """Names or numbers separated by commas or spaces, still to be checked; None for an empty text."""
    return tuple((text or "").replace(",", " ").split()) or None
