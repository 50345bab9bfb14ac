"""What the settings of a recovery are called, what there is to choose from, and which of them a loss uses.

The form and the comparison of two runs both read from here. Nothing here is escaped yet.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tinylab.config.choices import LOSSES, WARM_STARTS
from tinylab.registry import Rows

__all__ = ["LABELS", "choices", "depends", "in_use", "loss_label", "menu", "setting_words"]

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

# (label, value), as menus take them, of settings whose values have no rows in `tinylab.config.choices`.
_CHOICES: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType(
    {
        "recipe": (("Quick digits", "quick"), ("Plain", "plain"), ("Published masked KD", "published")),
        "beta_decay": (("linear", "linear"), ("cosine", "cosine"), ("not", "none")),
        "mask": (("each its own extremes", "separate"), ("both what is extreme on either", "joint")),
        "layer_map": (("its own", "kept"), ("the end of its span", "span"), ("every n-th, as published", "published")),
        "lr_scaling": (("not", "none"), ("√", "sqrt"), ("linearly", "linear")),
        "precision": (("float32", "float32"), ("bfloat16", "bfloat16")),
    }
)
_ROWS: Mapping[str, Rows[Any, Any]] = MappingProxyType({"loss": LOSSES, "warm_start": WARM_STARTS})


def choices(name: str) -> list[tuple[str, str]]:
    """What there is to choose from for the setting `name`, as (label, value); nothing for one without a menu."""
    return menu(_ROWS[name]) if name in _ROWS else list(_CHOICES.get(name, ()))


def menu(rows: Rows[Any, Any]) -> list[tuple[str, str]]:
    """All rows as (label, value)."""
    return [(row.label, row.name) for row in rows.rows()]


def depends() -> dict[str, tuple[str, tuple[str, ...]]]:
    """For every setting that only some values of another one use: that other one, and those values."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for master in ("loss", "warm_start"):
        rows = _ROWS[master].rows()
        for name in dict.fromkeys(name for row in rows for name in row.settings):
            found[name] = (master, tuple(row.name for row in rows if name in row.settings))
    return {**found, "lr_batch": ("lr_scaling", ("sqrt", "linear"))}


def in_use(name: str, values: Mapping[str, Any]) -> bool:
    """Whether a recovery with these `values` uses the setting `name` at all."""
    master, fitting = depends().get(name, ("", ()))
    return not master or values[master] in fitting


def setting_words(name: str, value: Any) -> str:
    """The value of a setting as the form shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return next((label for label, choice in choices(name) if choice == value), str(value))


def loss_label(name: str) -> str:
    """A loss as a person calls it."""
    return setting_words("loss", name)
