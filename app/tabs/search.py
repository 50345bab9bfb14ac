"""Search: learn which blocks to keep, and watch."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.fields import data_field
from app.lab import Lab
from app.panel import JobPanel
from app.views.search import SLOTS, view
from tinylab.config import SearchConfig
from tinylab.errors import BadRequest
from tinylab.models.catalog import describe_model
from tinylab.presets import search_config
from tinylab.pruning.layout import halving_patterns

__all__ = ["ID", "TITLE", "build", "make_config", "offer_patterns", "preset_values"]

ID, TITLE = "search", "Search"

_INTRO = """
Each training step draws, for every image, **which blocks to skip**. Choices that leave the model easy to train become
likelier. The weights move along, as they will when the shallow model is fine-tuned: so the search looks for the cut
that *recovers* best, not the one that hurts least today.
"""
_PRESETS = [("Quick", "quick"), ("Thorough", "thorough"), ("As published", "published")]
_PRESET_FIELDS = ("batch_size", "lr_mask", "lr_weights", "tau_start", "tau_end")
_QUICK = {name: field.default for name, field in SearchConfig.model_fields.items()}


def build(lab: Lab) -> None:
    """Controls on the left, the search as it happens on the right."""
    panel = JobPanel("search", "Search", view, SLOTS, hint="Press Search and watch the model choose its blocks.")
    lab.panels["search"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            gr.Markdown(_INTRO)
            preset = gr.Radio(_PRESETS, value="quick", label="Preset", elem_id="search-preset")
            pattern = gr.Dropdown(
                [],
                value=None,
                allow_custom_value=True,
                label="What stays",
                info="N:M keeps N of every M blocks in a row; also 1:2x3,2:6, keep=6, time=0.5",
                elem_id="search-pattern",
            )
            weights = gr.Radio(
                [("LoRA", "lora"), ("all", "full"), ("frozen", "frozen")],
                value=_QUICK["weights"],
                label="Weights that move along",
                elem_id="search-weights",
            )
            with gr.Row():
                steps = gr.Number(_QUICK["steps"], precision=0, label="Steps", elem_id="search-steps", min_width=80)
                seed = gr.Number(0, precision=0, label="Seed", elem_id="search-seed", min_width=80)
            more = _more_fields()
            panel.controls()
        with gr.Column():
            panel.display()
    fields = {
        "model": lab.model,
        "preset": preset,
        "pattern": pattern,
        "weights": weights,
        "steps": steps,
        "seed": seed,
    }
    panel.wire(make_config, {**fields, **more})
    names = ["steps", *(name for name in more if name in _PRESET_FIELDS)]
    filled = [{"steps": steps, **more}[name] for name in names]
    preset.input(lambda name: preset_values(name, names), [preset], filled, show_progress="hidden", queue=False)
    lab.follow_model(offer_patterns, pattern)


def _more_fields() -> dict[str, gr.Number | gr.Textbox | gr.Radio]:
    with gr.Accordion("More", open=False, elem_id="search-more"):
        estimator = gr.Radio(
            [("Gumbel", "gumbel"), ("ReinMax", "reinmax"), ("REINFORCE", "reinforce")],
            value=_QUICK["estimator"],
            label="Gradient of the draws",
            elem_id="search-estimator",
        )
        objective = gr.Radio(
            [("its own loss", "diffusion"), ("distance to the full model", "distill")],
            value=_QUICK["objective"],
            label="What masks are judged by",
        )
        decision = gr.Radio(
            [("the likeliest mask", "argmax"), ("what each group costs", "perturbation")],
            value=_QUICK["decision"],
            label="How it decides",
        )
        seeds = gr.Textbox(
            "", label="Several seeds", info="0-4 searches five times and tells what all agree on", max_lines=1
        )
        with gr.Row():
            batch = gr.Number(_QUICK["batch_size"], precision=0, label="Images a step", min_width=120)
            lr_mask = gr.Number(_QUICK["lr_mask"], label="Mask learning rate", min_width=120)
            lr_weights = gr.Number(_QUICK["lr_weights"], label="Weight learning rate", min_width=120)
            tau_start = gr.Number(_QUICK["tau_start"], label="First temperature", min_width=120)
            tau_end = gr.Number(_QUICK["tau_end"], label="Last temperature", min_width=120)
        data = data_field()
    return {
        "estimator": estimator,
        "objective": objective,
        "decision": decision,
        "seeds": seeds,
        "data": data,
        "batch_size": batch,
        "lr_mask": lr_mask,
        "lr_weights": lr_weights,
        "tau_start": tau_start,
        "tau_end": tau_end,
    }


def preset_values(preset: str, names: list[str]) -> list[Any]:
    """What a preset puts into the fields called `names`."""
    config = search_config(preset)
    return [getattr(config, name) for name in names]


def make_config(pattern: str | None, preset: str = "quick", **values: Any) -> SearchConfig:
    """The form's values as a config; the preset says what the form does not show."""
    config = search_config(preset, pattern=pattern or "half", **values)
    if config.tau_end > config.tau_start:
        raise BadRequest("tau-end: must not be above the first temperature")
    return config


def offer_patterns(model: str) -> Any:
    """The patterns that fit the loaded model, and a budget for all its blocks; half of each stack is the default."""
    try:
        depth = describe_model(model).depth
    except (BadRequest, OSError, ValueError):
        return gr.skip()
    fitting = halving_patterns(depth)
    offered = [*fitting, f"keep={sum(depth.values()) // 2}"]
    return gr.Dropdown(choices=offered, value=offered[max(0, len(fitting) - 1)])
