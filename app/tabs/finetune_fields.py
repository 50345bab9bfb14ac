"""The many fields of a recovery, in small groups, and how a recipe fills them."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.i18n import I18nData

from app.page.fields import data_field, labelled, text_field
from app.texts import entries, text
from app.views.settings import choices, depends, in_use
from tinylab.config import FinetuneConfig
from tinylab.config.choices import LOSSES
from tinylab.presets import finetune_config

__all__ = ["Fields", "more_fields", "only_used", "plain_fields", "recipe_values"]

Fields = dict[str, Any]  # components by the setting they are for

_QUICK = finetune_config("quick")
_WHOLE = {name for name, field in FinetuneConfig.model_fields.items() if field.annotation is int}
# Settings that need more words than their label.
_INFOS = frozenset(
    {"alpha", "mask_sigma", "lr_floor", "warmup", "accumulation", "label_dropout"}
    | {"snapshot_every", "scored_samples", "log_every", "checkpoint_every"}
)


def _number(name: str, **style: Any) -> gr.Number:
    """A field for the number `name` of a recipe."""
    return gr.Number(
        getattr(_QUICK, name),
        precision=0 if name in _WHOLE else None,
        label=_label(name),
        info=text(f"finetune.infos.{name}") if name in _INFOS else None,
        visible=_used(name),
        elem_id=f"finetune-{name.replace('_', '-')}",
        **{"min_width": 120, **style},
    )


def _option(name: str) -> gr.Radio:
    """A field for one of a few choices of a recipe."""
    return gr.Radio(
        choices(name),
        value=getattr(_QUICK, name),
        label=_label(name),
        visible=_used(name),
        elem_id=f"finetune-{name.replace('_', '-')}",
    )


def _tick(name: str) -> gr.Checkbox:
    return gr.Checkbox(getattr(_QUICK, name), label=_label(name), elem_id=f"finetune-{name.replace('_', '-')}")


def _label(name: str) -> I18nData:
    return text(f"finetune.settings.{name}")


def _learns_from(loss: str) -> I18nData | str:
    """What the student of a loss learns from: in the language of the page, or in English where nobody translated it."""
    key = f"finetune.losses.{loss}"
    return text(key) if key in entries("en") else LOSSES.entry(loss).summary


def _used(name: str) -> bool:
    return in_use(name, _QUICK.model_dump())


def plain_fields() -> Fields:
    """What is in plain view: the blocks, the recipe, its loss and its length."""
    plan = gr.Dropdown([], value=None, **labelled("finetune", "plan", "finetune.plan"))
    by_hand = text_field("finetune", "indices", "finetune.indices")
    recipe = gr.Radio(
        choices("recipe"),
        value=_QUICK.recipe,
        label=_label("recipe"),
        info=text("finetune.infos.recipe"),
        elem_id="finetune-recipe",
    )
    loss = gr.Dropdown(
        choices("loss"),
        value=_QUICK.loss,
        label=_label("loss"),
        info=_learns_from(_QUICK.loss),
        elem_id="finetune-loss",
    )
    with gr.Row():
        steps = _number("steps", min_width=80)
        seed = _number("seed", min_width=80)
    return {"plan": plan, "indices": by_hand, "recipe": recipe, "loss": loss, "steps": steps, "seed": seed}


def more_fields() -> tuple[Fields, gr.Markdown]:
    """Everything that is not in plain view, and the heading over what the teacher teaches."""
    with gr.Accordion(text("panel.more"), open=False, elem_id="finetune-more"):
        heading = _group("finetune.taught", visible=_taught(_QUICK.model_dump()))
        return {**_teaching(), **_start(), **_training(), **_on_the_way(), **_machine()}, heading


def _group(key: str, *, visible: bool = True) -> gr.Markdown:
    return gr.Markdown(text(key), elem_classes="tl-group", visible=visible)


def _taught(values: Mapping[str, Any]) -> bool:
    """Whether there is anything to set about the teacher."""
    return any(in_use(name, values) for name, (master, _) in depends().items() if master == "loss")


def _teaching() -> Fields:
    with gr.Row():
        weights = {name: _number(name) for name in ("alpha", "beta")}
    options = {"beta_decay": _option("beta_decay"), "layer_map": _option("layer_map")}
    return {**weights, **options, "mask_sigma": _number("mask_sigma"), "mask": _option("mask")}


def _start() -> Fields:
    _group("finetune.start_group")
    return {"warm_start": _option("warm_start"), "warm_steps": _number("warm_steps")}


def _training() -> Fields:
    _group("finetune.training")
    names = ("lr", "lr_floor", "warmup", "batch_size", "accumulation", "clip", "ema_decay", "label_dropout")
    with gr.Row():
        numbers = {name: _number(name) for name in names}
    return {**numbers, "lr_scaling": _option("lr_scaling"), "lr_batch": _number("lr_batch")}


def _on_the_way() -> Fields:
    _group("finetune.on_the_way")
    with gr.Row():
        names = ("snapshot_every", "scored_samples", "log_every", "checkpoint_every")
        return {name: _number(name) for name in names}


def _machine() -> Fields:
    _group("finetune.machine")
    data, precision = data_field("finetune"), _option("precision")
    return {"data": data, "precision": precision, **{n: _tick(n) for n in ("gradient_checkpointing", "compile")}}


def recipe_values(recipe: str, names: Sequence[str]) -> list[Any]:
    """What a recipe puts into the fields called `names`."""
    config = finetune_config(recipe)
    return [getattr(config, name) for name in names]


def only_used(recipe: str, values: Mapping[str, Any]) -> list[Any]:
    """Updates of the fields that depend on others, of the menu of losses and of the heading over what is taught.

    What the chosen loss does not use is hidden. If it was left empty it gets the recipe's value, so that nobody is
    asked for what is not shown.
    """
    updates = []
    for name in depends():
        used = in_use(name, values)
        empty = not used and values[name] is None
        updates.append(gr.update(visible=used, **({"value": getattr(finetune_config(recipe), name)} if empty else {})))
    return [*updates, gr.update(info=_learns_from(values["loss"])), gr.update(visible=_taught(values))]
