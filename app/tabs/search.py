"""Search: learn which blocks to keep, and watch."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.page.fields import data_field, keep_in_address, number_field, text_field
from app.page.lab import Lab
from app.page.panel import JobPanel
from app.page.prose import formula_panel, intro
from app.texts import text
from app.views.search import SLOTS, view
from app.views.settings import menu
from tinylab.config import SearchConfig
from tinylab.config.choices import ESTIMATORS
from tinylab.errors import BadRequest
from tinylab.models.catalog import describe_model
from tinylab.presets import search_config
from tinylab.pruning.layout import halving_patterns

__all__ = ["ID", "TITLE", "build", "make_config", "offer_patterns", "preset_values"]

ID, TITLE = "search", "Search"
_PRESETS = [("Quick", "quick"), ("Thorough", "thorough"), ("As published", "published")]
_PRESET_FIELDS = ("batch_size", "lr_mask", "lr_weights", "tau_start", "tau_end")
_QUICK = {name: field.default for name, field in SearchConfig.model_fields.items()}


def build(lab: Lab) -> None:
    """Controls on the left, the search as it happens on the right."""
    panel = JobPanel("search", text("search.start"), view, SLOTS, hint=text("search.hint"))
    lab.panels["search"] = panel
    with gr.Row(elem_classes="tl-work"):
        with gr.Column():
            intro("search")
            formula_panel("search")
            preset = gr.Radio(_PRESETS, value="quick", label=text("search.preset"), elem_id="search-preset")
            pattern = gr.Dropdown(
                [],
                value=None,
                allow_custom_value=True,
                label=text("search.pattern"),
                info=text("search.pattern_info"),
                elem_id="search-pattern",
            )
            weights = gr.Radio(
                [("LoRA", "lora"), ("all", "full"), ("frozen", "frozen")],
                value=_QUICK["weights"],
                label=text("search.weights"),
                elem_id="search-weights",
            )
            with gr.Row():
                steps = number_field("search", "steps", _QUICK["steps"], "search.steps")
                seed = number_field("search", "seed", 0, "search.seed")
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
    keep_in_address(preset, ID, [name for _, name in _PRESETS], lambda name: preset_values(name, names), filled)
    lab.follow_model(offer_patterns, pattern)


def _more_fields() -> dict[str, gr.Number | gr.Textbox | gr.Radio]:
    with gr.Accordion(text("panel.more"), open=False, elem_id="search-more"):
        estimator = gr.Radio(
            menu(ESTIMATORS),
            value=_QUICK["estimator"],
            label=text("search.estimator"),
            elem_id="search-estimator",
        )
        objective = gr.Radio(
            [("its own loss", "diffusion"), ("distance to the full model", "distill")],
            value=_QUICK["objective"],
            label=text("search.objective"),
            elem_id="search-objective",
        )
        decision = gr.Radio(
            [("the likeliest mask", "argmax"), ("what each group costs", "perturbation")],
            value=_QUICK["decision"],
            label=text("search.decision"),
            elem_id="search-decision",
        )
        seeds = text_field("search", "seeds", "search.seeds", info=text("search.seeds_info"))
        with gr.Row():
            names = ("batch_size", "lr_mask", "lr_weights", "tau_start", "tau_end")
            numbers = {name: _wide_number(name) for name in names}
        data = data_field("search")
    return {
        "estimator": estimator,
        "objective": objective,
        "decision": decision,
        "seeds": seeds,
        "data": data,
        **numbers,
    }


def _wide_number(name: str) -> gr.Number:
    return number_field("search", name.replace("_", "-"), _QUICK[name], f"search.{name}", min_width=120)


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
