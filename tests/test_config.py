"""Job configs: exact JSON round trips, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from tinylab.config import (
    CompareConfig,
    EncodeConfig,
    FinetuneConfig,
    JobConfig,
    PruneConfig,
    RecipesConfig,
    SampleConfig,
    SearchConfig,
    TrainConfig,
    config_types,
    parse_config,
)
from tinylab.errors import BadRequest
from tinylab.presets import TRAIN_PRESETS, train_config

KINDS = sorted(config_types())

CHANGED = [
    TrainConfig.create(steps=7, lr=1 / 3, seed=5, threads=1, preset="digits-reader"),
    SearchConfig.create(pattern="1:2", weights="frozen", tau_start=2.5, model="runs/x"),
    PruneConfig.create(indices=(0, 2, 5), method="indices", device="cpu"),
    FinetuneConfig.create(run="20260101-search", snapshot_every=0),
    RecipesConfig.create(recipes=("logit", "masked-kd:mask=joint+beta=0.5"), seeds="0-2"),
    SampleConfig.create(against=("a", "b"), classes=(3, 7), sampler="ddim", guidance=0),
    CompareConfig.create(methods=(), plans=("p.json",), steps=0),
    EncodeConfig.create(data="pictures", flips=False, dtype="float32", skip_broken=True),
]


def refusal(cls: type[JobConfig], **values: Any) -> str:
    with pytest.raises(BadRequest) as refused:
        cls.create(**values)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_there_is_one_config_for_every_kind_of_job() -> None:
    measuring = ["cost", "evaluate", "sample"]
    training = ["compare", "finetune", "recipes", "search", "study", "train"]
    assert KINDS == sorted([*measuring, *training, "encode", "prune"])


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_survive_a_json_round_trip(kind: str) -> None:
    config = config_types()[kind].create()
    assert parse_config(config.to_json(), "config.json") == config


@pytest.mark.parametrize("config", CHANGED, ids=lambda config: config.kind)
def test_changed_values_survive_a_json_round_trip(config: JobConfig) -> None:
    found = parse_config(config.to_json(), "config.json")
    assert type(found) is type(config)
    assert found == config != type(config).create()


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_documented(kind: str) -> None:
    cls = config_types()[kind]
    undocumented = [name for name, field in cls.model_fields.items() if name != "kind" and not field.description]
    assert undocumented == []
    assert cls.summary


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_option_lists_the_valid_ones(kind: str) -> None:
    cls = config_types()[kind]
    message = refusal(cls, speed=9)
    assert message.startswith("unknown option 'speed'; valid ones: ")
    for name in cls.model_fields:
        assert name == "kind" or name in message or name.replace("_", "-") in message


@pytest.mark.parametrize(
    ("cls", "values", "parts"),
    [
        (TrainConfig, {"steps": 0}, ("steps", "greater than or equal to 1", "got 0")),
        (TrainConfig, {"steps": "many"}, ("steps", "integer", "'many'")),
        (TrainConfig, {"batch_size": 0}, ("batch-size", "greater than or equal to 1", "got 0")),
        (TrainConfig, {"lr": 2}, ("lr", "less than or equal to 1", "got 2")),
        (TrainConfig, {"lr": float("nan")}, ("lr", "nan")),
        (TrainConfig, {"ema_decay": 1.0}, ("ema-decay", "less than 1", "got 1.0")),
        (SearchConfig, {"weights": "some"}, ("weights", "'lora', 'full' or 'frozen'", "'some'")),
        (SearchConfig, {"scaling": 0}, ("scaling", "greater than 0", "got 0")),
        (PruneConfig, {"keep": -1}, ("keep", "greater than or equal to 0", "got -1")),
        (PruneConfig, {"indices": ("x",)}, ("indices", "integer", "'x'")),
        (SampleConfig, {"steps": 1001}, ("steps", "less than or equal to 1000", "got 1001")),
        (SampleConfig, {"device": "tpu"}, ("device", "'auto', 'cpu' or 'cuda'", "'tpu'")),
        (SampleConfig, {"seed": -1}, ("seed", "greater than or equal to 0", "got -1")),
        (CompareConfig, {"label_dropout": 1.5}, ("label-dropout", "less than or equal to 1", "got 1.5")),
        (FinetuneConfig, {"kind": "train"}, ("kind", "'finetune'", "'train'")),
    ],
)
def test_bad_value_names_the_option_the_bound_and_the_value(
    cls: type[JobConfig], values: dict[str, Any], parts: tuple[str, ...]
) -> None:
    message = refusal(cls, **values)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("cls", "name"), [(TrainConfig, "clip"), (SearchConfig, "tau_start"), (SearchConfig, "scaling")]
)
def test_infinity_is_refused_since_json_cannot_hold_it(cls: type[JobConfig], name: str) -> None:
    assert "finite" in refusal(cls, **{name: float("inf")})


def test_a_config_cannot_be_changed() -> None:
    config = TrainConfig.create()
    with pytest.raises(ValidationError, match="frozen"):
        config.steps = 1  # type: ignore[misc]
    assert config.steps == 1000


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"kind": "fly"}', '{"kind": ["train"]}', "\x00"])
def test_damaged_config_file_is_named(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^some/config\.json is not a job config") as refused:
        parse_config(text, "some/config.json")
    assert "\n" not in str(refused.value)


def test_config_file_with_a_bad_value_is_refused() -> None:
    values = json.loads(TrainConfig.create().to_json()) | {"steps": -3}
    with pytest.raises(BadRequest, match="steps"):
        parse_config(json.dumps(values), "config.json")


@pytest.mark.parametrize("preset", TRAIN_PRESETS)
def test_preset_fills_in_what_was_not_given(preset: str) -> None:
    config = train_config(preset, steps=3)
    values = {**TRAIN_PRESETS[preset].values, "steps": 3, "preset": preset}
    assert config == TrainConfig.create(**values)


def test_unknown_preset_lists_the_valid_ones() -> None:
    with pytest.raises(
        BadRequest,
        match="^unknown preset 'imagenet'; choose one of: digits-dit, digits-sit, digits-mar, digits-reader$",
    ):
        train_config("imagenet")
