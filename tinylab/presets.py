"""Recipes by name: the built-in models and how they were trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

from tinylab.config import FinetuneConfig, JobConfig, SearchConfig, TrainConfig
from tinylab.errors import BadRequest

__all__ = [
    "FINETUNE_RECIPES",
    "SEARCH_PRESETS",
    "TRAIN_PRESETS",
    "TrainPreset",
    "finetune_config",
    "preset_config",
    "search_config",
    "train_config",
]

P = TypeVar("P")


@dataclass(frozen=True)
class TrainPreset:
    """A network and the training values it was made with."""

    family: str
    summary: str
    architecture: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)


_DIGIT_BLOCKS: Mapping[str, Any] = MappingProxyType(
    {
        "input_size": 8,
        "patch_size": 2,
        "in_channels": 1,
        "hidden_size": 64,
        "depth": 12,
        "num_heads": 4,
        "num_classes": 10,
    }
)
_DIGIT_TRAINING: Mapping[str, Any] = MappingProxyType(
    {"steps": 6000, "batch_size": 128, "lr": 1e-3, "log_every": 20, "threads": 1}
)
TRAIN_PRESETS: Mapping[str, TrainPreset] = MappingProxyType(
    {
        "digits-dit": TrainPreset(
            family="dit",
            summary="the built-in teacher: a 12-block DiT on 8x8 digits",
            architecture=_DIGIT_BLOCKS,
            values=_DIGIT_TRAINING,
        ),
        "digits-sit": TrainPreset(
            family="sit",
            summary="a 12-block SiT on 8x8 digits: the same network, trained to predict velocity",
            architecture={**_DIGIT_BLOCKS, "path": "linear"},
            values=_DIGIT_TRAINING,
        ),
        "digits-mar": TrainPreset(
            family="mar",
            summary="a MAR of 6 + 6 blocks on 8x8 digits, in 16 tokens",
            architecture={
                "img_size": 8,
                "vae_stride": 1,
                "patch_size": 2,
                "vae_embed_dim": 1,
                "encoder_embed_dim": 64,
                "encoder_depth": 6,
                "encoder_num_heads": 4,
                "decoder_embed_dim": 64,
                "decoder_depth": 6,
                "decoder_num_heads": 4,
                "class_num": 10,
                "buffer_size": 4,
                "diffloss_d": 3,
                "diffloss_w": 128,
                "num_sampling_steps": 50,
                "diffusion_batch_mul": 4,
                "clip_value": 1.0,
            },
            values={**_DIGIT_TRAINING, "steps": 8000},
        ),
        "digits-reader": TrainPreset(
            family="reader",
            summary="the classifier that reads samples",
            architecture={"width": 32},
            values={"steps": 2000, "batch_size": 128, "lr": 1e-3, "log_every": 20, "threads": 1},
        ),
    }
)


# The published values are for DiT-XL/2: weights that move slowly along, for a long time. In a few hundred steps they
# would hardly move, and the search would find the smallest loss right after the cut.
SEARCH_PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "quick": {},
        "thorough": {"steps": 1500, "batch_size": 128, "checkpoint_every": 100},
        "published": {"steps": 10_000, "batch_size": 128, "lr_weights": 1e-4, "log_every": 50, "checkpoint_every": 500},
    }
)


# The published recovery of DiT-XL/2, 28 -> 14 blocks (TinyFusion: Fang et al. 2024, arXiv:2412.01199, section 4).
FINETUNE_RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "quick": {},
        "plain": {"loss": "diffusion", "warm_start": "none"},
        "published": {
            **{"loss": "masked-kd", "alpha": 0.9, "beta": 1e-2, "beta_decay": "linear", "mask_sigma": 2.0},
            **{"mask": "separate", "layer_map": "published", "warm_start": "none"},
            **{"steps": 100_000, "batch_size": 256, "lr": 2e-4, "lr_floor": 0.5, "warmup": 0, "ema_decay": 0.9999},
            **{"log_every": 100, "checkpoint_every": 1000, "snapshot_every": 5000},
        },
    }
)


def train_config(preset: str, **given: Any) -> TrainConfig:
    """The config of a training preset, with `given` values in place of its own."""
    values = _entry(TRAIN_PRESETS, preset).values
    return TrainConfig.create(**{**values, **given, "preset": preset})


def search_config(preset: str, **given: Any) -> SearchConfig:
    """The config of a search preset, with `given` values in place of its own."""
    values = _entry(SEARCH_PRESETS, preset)
    return SearchConfig.create(**{**values, **given, "preset": preset})


def finetune_config(recipe: str, **given: Any) -> FinetuneConfig:
    """The config of a recipe of recovery, with `given` values in place of its own."""
    values = _entry(FINETUNE_RECIPES, recipe, "recipe")
    return FinetuneConfig.create(**{**values, **given, "recipe": recipe})


def preset_config(kind: type[JobConfig], values: Mapping[str, Any]) -> JobConfig:
    """A config of some kind of job with `values`, those that are not given from the preset or recipe it names."""
    builders: dict[type[JobConfig], tuple[str, Callable[..., JobConfig]]] = {
        TrainConfig: ("preset", train_config),
        SearchConfig: ("preset", search_config),
        FinetuneConfig: ("recipe", finetune_config),
    }
    if kind not in builders:
        return kind.create(**values)
    field, build = builders[kind]
    rest = {name: value for name, value in values.items() if name != field}
    return build(values.get(field, kind.model_fields[field].default), **rest)


def _entry(presets: Mapping[str, P], name: str, what: str = "preset") -> P:
    if name not in presets:
        raise BadRequest(f"unknown {what} {name!r}; choose one of: {', '.join(presets)}")
    return presets[name]
