"""The form of the Fine-tune tab without a browser: many fields, filled by recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import gradio as gr
import pytest
import torch

from app.access.visitors import HOME
from app.page.panel import launch_form
from app.tabs.finetune import make_config
from app.tabs.finetune_fields import more_fields, only_used, plain_fields, recipe_values
from app.texts import english
from app.views.settings import LABELS, choices, depends, in_use, setting_words
from tinylab.config import FinetuneConfig
from tinylab.config.choices import LOSSES, WARM_STARTS, OneOf
from tinylab.diffusion import Losses
from tinylab.errors import BadRequest
from tinylab.presets import FINETUNE_RECIPES, finetune_config
from tinylab.training.losses import Outputs

# What the form leaves to the command line: where to compute, and what only some machines have.
NOT_ASKED = {"kind", "run", "model", "device", "threads", "workers", "tracker"}


@pytest.fixture
def fields() -> dict[str, Any]:
    """The fields of the form by the setting they are for."""
    with gr.Blocks():
        return {"model": gr.HTML("digits-dit"), **plain_fields(), **more_fields()[0]}


def values_of(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: field.value for name, field in fields.items()} | {"indices": "0, 2, 4, 7, 9, 11", "plan": None}


def test_form_asks_for_every_setting_that_is_not_left_to_the_command_line(fields: dict[str, Any]) -> None:
    assert set(fields) == set(FinetuneConfig.model_fields) - NOT_ASKED | {"model"}
    labels = [english(field.label) for name, field in fields.items() if name != "model"]
    assert len(set(labels)) == len(labels)
    named = set(fields) & set(LABELS) - {"model"}
    assert {name: english(fields[name].label) for name in named} == {name: LABELS[name] for name in named}


def test_untouched_form_is_the_quick_recipe(fields: dict[str, Any]) -> None:
    config = make_config(**values_of(fields))
    assert config == finetune_config("quick", model="digits-dit", indices=(0, 2, 4, 7, 9, 11))


@pytest.mark.parametrize("recipe", FINETUNE_RECIPES)
def test_recipe_fills_the_form_with_all_it_says(recipe: str, fields: dict[str, Any]) -> None:
    names = [name for name in fields if name in LABELS and name not in ("model", "recipe", "seed", "data")]
    assert set(FINETUNE_RECIPES[recipe]) <= set(names)
    filled = values_of(fields) | dict(zip(names, recipe_values(recipe, names), strict=True)) | {"recipe": recipe}
    assert make_config(**filled) == finetune_config(recipe, model="digits-dit", indices=(0, 2, 4, 7, 9, 11))


NUMBERS: dict[str, Any] = {
    **{"alpha": 0.25, "beta": 0.55, "mask_sigma": 3.5, "warm_steps": 7, "steps": 11, "seed": 5, "lr": 3.1e-4},
    **{"lr_batch": 64, "lr_floor": 0.23, "warmup": 3, "batch_size": 24, "accumulation": 2, "clip": 0.7},
    **{"ema_decay": 0.51, "label_dropout": 0.33, "snapshot_every": 4, "scored_samples": 40, "log_every": 2},
    **{"checkpoint_every": 6, "gradient_checkpointing": True, "compile": True, "data": "here"},
}


@pytest.mark.parametrize("recipe", FINETUNE_RECIPES)
def test_every_field_reaches_the_config_whatever_the_recipe(recipe: str, fields: dict[str, Any]) -> None:
    usual = finetune_config(recipe)
    others = {
        name: next(value for _, value in reversed(choices(name)) if value != getattr(usual, name))
        for name in fields
        if choices(name) and name != "recipe"
    }
    edited = NUMBERS | others
    assert set(edited) == set(fields) - {"model", "plan", "indices", "recipe"}
    assert all(getattr(usual, name) != value for name, value in edited.items())
    config = make_config(**values_of(fields) | edited | {"recipe": recipe})
    assert {name: getattr(config, name) for name in edited} == edited


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"alpha": 1.5}, "Weight of the teacher: .*less than or equal to 1"),
        ({"beta": -1}, "Weight of hidden states: .*greater than or equal to 0"),
        ({"mask_sigma": 0}, "Mask width: .*greater than 0"),
        ({"mask_sigma": None}, "Mask width: give a number"),
        ({"warm_steps": 0}, "Steps of the warm start: .*1"),
        ({"lr": 2}, "Learning rate: .*less than or equal to 1"),
        ({"lr_floor": 2}, "Rate at the end: .*less than or equal to 1"),
        ({"ema_decay": 1}, "Averaging decay: .*less than 1"),
        ({"label_dropout": -0.1}, "Hidden classes: .*greater than or equal to 0"),
        ({"clip": 0}, "Gradient norm at most: .*greater than 0"),
        ({"batch_size": -3}, "Images a step: .*greater than or equal to 1"),
        ({"scored_samples": 3}, "Scored.samples.*: score 20 or more"),
        ({"loss": "nonsense"}, "Loss: input should be .*'masked-kd'"),
        ({"indices": "0, 99"}, ".*99 is out of range"),
    ],
)
def test_mistake_in_a_field_is_one_line_that_names_it(
    wrong: dict[str, Any], sentence: str, fields: dict[str, Any], runs: Path
) -> None:
    given = values_of(fields) | {"loss": "masked-kd"} | wrong
    with pytest.raises(BadRequest, match=f"(?i)^{sentence}") as caught:
        launch_form(make_config, fields, [given[name] for name in fields], HOME)
    assert "\n" not in str(caught.value)
    assert not runs.exists()


def test_losses_and_warm_starts_are_called_as_their_rows_call_them() -> None:
    assert dict(choices("loss")) == {row.label: row.name for row in LOSSES.rows()}
    assert dict(choices("warm_start")) == {row.label: row.name for row in WARM_STARTS.rows()}


class Watched:
    """A config that notes which of its settings are read."""

    def __init__(self, config: FinetuneConfig) -> None:
        self._config, self.read = config, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._config, name)


@pytest.mark.parametrize("loss", LOSSES.names())
def test_form_shows_what_the_loss_reads(loss: str) -> None:
    config = finetune_config("quick", loss=loss)
    shown = {name for name, (master, _) in depends().items() if master == "loss" and in_use(name, config.model_dump())}
    watched, one = Watched(config), Losses(torch.ones(2), torch.ones(2), torch.zeros(2))
    states = [torch.randn(2, 3, 4)]
    LOSSES.get(loss)(Outputs(one, one, states, states), 0.5, watched)
    assert shown - {"layer_map"} == watched.read
    assert ("layer_map" in shown) == (LOSSES.entry(loss).needs == "states")


def test_choices_are_those_that_the_config_knows() -> None:
    assert {value for _, value in choices("recipe")} == set(FINETUNE_RECIPES)
    asked = [name for name in FinetuneConfig.model_fields if choices(name) and name != "recipe"]
    assert len(asked) == 7
    for name in asked:
        field = FinetuneConfig.model_fields[name]
        rows = [mark.names() for mark in field.metadata if isinstance(mark, OneOf)]
        assert {value for _, value in choices(name)} == set(rows[0] if rows else get_args(field.annotation))


def test_fields_that_a_choice_does_not_look_at_are_hidden_and_never_left_empty() -> None:
    given = finetune_config("published", loss="logit").model_dump() | {"mask_sigma": None, "beta": 0.4, "alpha": None}
    *updates, loss, heading = only_used("published", given)
    found = dict(zip(depends(), updates, strict=True))
    assert {name for name, update in found.items() if update["visible"]} == {"alpha"}
    assert found["mask_sigma"]["value"] == 2.0
    assert "value" not in found["alpha"] and "value" not in found["beta"]
    assert (english(loss["info"]), heading["visible"]) == ("also from the teacher's output", True)
    *updates, loss, heading = only_used("quick", finetune_config("quick", loss="diffusion").model_dump())
    assert not heading["visible"] and not any(update["visible"] for update in updates)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("loss", "masked-kd", "Masked KD"),
        ("lr", 2e-4, "0.0002"),
        ("steps", 100_000, "100,000"),
        ("compile", True, "yes"),
    ],
)
def test_settings_read_as_in_the_form(name: str, value: Any, words: str) -> None:
    assert setting_words(name, value) == words
