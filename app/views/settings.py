"""What the settings of a recovery are called, what there is to choose from, and which of them a loss looks at.

The form and the comparison of two runs both read from here. Nothing here is escaped yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

__all__ = ["CHOICES", "DEPENDS", "LABELS", "LOSS_INFOS", "in_use", "loss_label", "setting_words"]

LABELS: Mapping[str, str] = MappingProxyType(
    {
        "recipe": "Recipe",
        "loss": "Loss",
        "steps": "Steps",
        "seed": "Seed",
        "alpha": "Weight of the teacher",
        "beta": "Weight of hidden states",
        "beta_decay": "How that weight falls",
        "mask_sigma": "Mask width",
        "mask": "What is masked",
        "layer_map": "Whose hidden states a block learns",
        "warm_start": "Warm start",
        "warm_steps": "Steps of the warm start",
        "lr": "Learning rate",
        "lr_scaling": "Rate grows with the batch",
        "lr_batch": "Batch size of that rate",
        "lr_floor": "Rate at the end",
        "warmup": "Warm-up",
        "batch_size": "Images a step",
        "accumulation": "Micro-batches",
        "clip": "Gradient norm at most",
        "ema_decay": "Averaging decay",
        "label_dropout": "Hidden classes",
        "snapshot_every": "Snapshot every",
        "scored_samples": "Scored samples",
        "log_every": "Record every",
        "checkpoint_every": "Checkpoint every",
        "precision": "Precision",
        "gradient_checkpointing": "Gradient checkpointing",
        "compile": "Compile the blocks",
        "data": "Data",
        "model": "Model",
    }
)

# (label, value), as menus take them. The losses are called as their registry calls them, which would import torch.
CHOICES: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType(
    {
        "recipe": (("Quick digits", "quick"), ("Plain", "plain"), ("Published masked KD", "published")),
        "loss": (
            ("Plain", "diffusion"),
            ("Logit KD", "logit"),
            ("Feature KD", "feature"),
            ("Masked KD", "masked-kd"),
            ("Normalised KD", "normalised"),
            ("BK-SDM sum", "bksdm"),
        ),
        "beta_decay": (("linear", "linear"), ("cosine", "cosine"), ("not", "none")),
        "mask": (("each its own extremes", "separate"), ("both what is extreme on either", "joint")),
        "layer_map": (("its own", "kept"), ("the end of its span", "span"), ("every n-th, as published", "published")),
        "warm_start": (("none", "none"), ("mean", "mean"), ("linear map", "linear"), ("block by block", "align")),
        "lr_scaling": (("not", "none"), ("√", "sqrt"), ("linearly", "linear")),
        "precision": (("float32", "float32"), ("bfloat16", "bfloat16")),
    }
)

# What the student of each loss learns from.
LOSS_INFOS: Mapping[str, str] = MappingProxyType(
    {
        "diffusion": "learns from the images alone",
        "logit": "also from the teacher's output",
        "feature": "also from its hidden states",
        "masked-kd": "also from its hidden states, without their extremes",
        "normalised": "also from its hidden states, each layer by its size",
        "bksdm": "output and hidden states, all simply added up",
    }
)

_STATES = ("feature", "masked-kd", "normalised")
# A setting that only some values of another one look at: that other one, and those values.
DEPENDS: Mapping[str, tuple[str, Sequence[str]]] = MappingProxyType(
    {
        "alpha": ("loss", ("logit", *_STATES)),
        "beta": ("loss", _STATES),
        "beta_decay": ("loss", _STATES),
        "mask_sigma": ("loss", ("masked-kd",)),
        "mask": ("loss", ("masked-kd",)),
        "layer_map": ("loss", (*_STATES, "bksdm")),
        "warm_steps": ("warm_start", ("align",)),
        "lr_batch": ("lr_scaling", ("sqrt", "linear")),
    }
)


def in_use(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a recovery with these `values` looks at the setting `name` at all."""
    master, fitting = DEPENDS.get(name, ("", ()))
    return not master or values[master] in fitting


def setting_words(name: str, value: Any) -> str:
    """The value of a setting as the form shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return next((label for label, choice in CHOICES.get(name, ()) if choice == value), str(value))


def loss_label(name: str) -> str:
    """A loss as a person calls it."""
    return setting_words("loss", name)
