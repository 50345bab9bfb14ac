"""Search: learn which blocks to keep, and watch."""

from typing import Any

import gradio as gr

from app.page.fields import data_field, keep_in_address, labelled, number_field, text_field
from app.page.lab import Lab
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
    with lab.job_tab(ID, "search", view, SLOTS) as panel:
        preset = gr.Radio(_PRESETS, value="quick", **labelled(ID, "preset", "search.preset"))
        pattern = gr.Dropdown([], value=None, allow_custom_value=True, **labelled(ID, "pattern", "search.pattern"))
        weights = _option("weights", [("LoRA", "lora"), ("all", "full"), ("frozen", "frozen")])
        with gr.Row():
            steps = number_field("search", "steps", _QUICK["steps"], "search.steps")
            seed = number_field("search", "seed", 0, "search.seed")
        more = _more_fields()
    plain = {"preset": preset, "pattern": pattern, "weights": weights, "steps": steps, "seed": seed}
    fields = {"model": lab.model, **plain}
    panel.wire(make_config, {**fields, **more})
    names = ["steps", *(name for name in more if name in _PRESET_FIELDS)]
    filled = [{"steps": steps, **more}[name] for name in names]
    preset.input(lambda name: preset_values(name, names), [preset], filled, show_progress="hidden", queue=False)
    keep_in_address(preset, ID, [name for _, name in _PRESETS], lambda name: preset_values(name, names), filled)
    lab.follow_model(offer_patterns, pattern)


def _more_fields() -> dict[str, gr.Number | gr.Textbox | gr.Radio]:
    with gr.Accordion(text("panel.more"), open=False, elem_id="search-more"):
        options = {
            "estimator": _option("estimator", menu(ESTIMATORS)),
            "objective": _option(
                "objective", [("its own loss", "diffusion"), ("distance to the full model", "distill")]
            ),
            "decision": _option(
                "decision", [("the likeliest mask", "argmax"), ("what each group costs", "perturbation")]
            ),
        }
        seeds = text_field("search", "seeds", "search.seeds")
        with gr.Row():
            numbers = {name: _wide_number(name) for name in _PRESET_FIELDS}
        data = data_field("search")
    return {**options, "seeds": seeds, "data": data, **numbers}


def _option(name: str, choices: list[tuple[str, str]]) -> gr.Radio:
    return gr.Radio(choices, value=_QUICK[name], **labelled(ID, name, f"search.{name}"))


def _wide_number(name: str) -> gr.Number:
    return number_field("search", name, _QUICK[name], f"search.{name}", min_width=120)


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
