"""Recipes of recovery as people write them: LOSS, or LOSS:FIELD=VALUE+FIELD=VALUE. Free of torch."""

from __future__ import annotations

from typing import Any, get_args

from tinylab.config import FinetuneConfig, RecipesConfig
from tinylab.config.recovery import LossName
from tinylab.errors import BadRequest

__all__ = ["recipe_config"]

_SHARED = ("data", "steps", "batch_size", "lr", "warmup", "ema_decay", "label_dropout", "device", "threads")
# A loss that is named alone means it alone, as published, not the rest of the recipe that `finetune` takes by default.
_BARE: dict[str, Any] = {"beta": 0.01, "layer_map": "kept", "warm_start": "none"}
# What a recipe may change: everything that decides what is learned from the same batches.
_FIELDS = (
    *("alpha", "beta", "beta_decay", "mask_sigma", "mask", "layer_map", "warm_start", "warm_steps"),
    *("steps", "lr", "lr_floor", "ema_decay"),
)


def recipe_config(text: str, config: RecipesConfig, seed: int) -> FinetuneConfig:
    """The fine-tuning that a recipe stands for.

    Raises:
        BadRequest: an unknown loss or field, or a value that cannot be.
    """
    loss, _, rest = text.partition(":")
    if loss not in get_args(LossName):
        raise BadRequest(f"unknown loss {loss!r} in recipe {text!r}; choose one of: {', '.join(get_args(LossName))}")
    values: dict[str, Any] = {**_BARE, **{name: getattr(config, name) for name in _SHARED}}
    for part in filter(None, rest.split("+")):
        name, equals, value = part.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in _FIELDS:
            raise BadRequest(f"{part!r} in recipe {text!r}: write FIELD=VALUE with one of {', '.join(_FIELDS)}")
        values[name] = value.strip()
    return FinetuneConfig.create(**values, loss=loss, seed=seed, snapshot_every=0)
