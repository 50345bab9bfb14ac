"""The families of models: one row each, free of torch. What a config means is read here and nowhere else."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tinylab.errors import BadRequest

__all__ = ["FAMILIES", "MOST_BLOCKS", "WEIGHTS_FILE", "Family", "family_of", "history_fits", "in_order"]

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"  # of a model folder, as diffusers names it
MOST_BLOCKS = 10_000  # of a stack; more than any model has
_LARGEST = 2**20  # no size in the config of a real model comes near


@dataclass(frozen=True)
class Family:
    """How the config of a model family is to be read.

    Attributes:
        name: as in `--family`; also names the objective and the samplers.
        class_name: what `config.json` calls the class.
        target: where the class is, `package.module:attribute`.
        summary: one line for people.
        stacks: the config entry that holds the length of each stack of blocks.
        lists: the same of every list of layers in it, those that cannot be cut included.
        sizes: config entries that must be whole numbers from 1.
        divides: pairs of entries of which the first must be a multiple of the second.
        channels, classes, width, heads: the entries with these meanings.
        side: the entry of the image's side, and the entry it is divided by, if any.
        grain: what the width must be a multiple of.
        choices: what an entry may be, where few values are possible.
        counts: entries that may be text, as published, and the most they can be.
        limits: entries that may be None or a number above 0.
    """

    name: str
    class_name: str
    target: str
    summary: str
    stacks: Mapping[str, str]
    sizes: tuple[str, ...]
    divides: tuple[tuple[str, str], ...]
    channels: str
    classes: str
    width: str
    heads: str
    side: tuple[str, str | None]
    lists: Mapping[str, str]
    grain: int = 1
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    limits: tuple[str, ...] = ()

    def depth(self, config: Mapping[str, Any]) -> dict[str, int]:
        """Number of blocks in every stack."""
        return {stack: int(config[entry]) for stack, entry in self.stacks.items()}

    def sample_shape(self, config: Mapping[str, Any]) -> tuple[int, int, int]:
        """Shape of one image or latent, (C, H, W)."""
        whole, part = self.side
        side = config[whole] // (config[part] if part else 1)
        return (config[self.channels], side, side)

    def num_classes(self, config: Mapping[str, Any]) -> int:
        """Number of classes, the null class not counted."""
        return int(config[self.classes])

    def check(self, config: Mapping[str, Any], source: object) -> None:
        """BadRequest for values that cannot be, before a network of that size is even sketched."""
        for name in self.sizes:
            value = config.get(name)
            if type(value) is not int or not 1 <= value <= _LARGEST:
                raise BadRequest(f"{source}: {name} is {_shown(value)}, should be a whole number from 1 to {_LARGEST}")
        for whole, part in self.divides:
            if config[whole] % config[part]:
                raise BadRequest(f"{source}: {part} {config[part]} does not divide {whole} {config[whole]}")
        if config[self.width] % self.grain:
            raise BadRequest(f"{source}: {self.width} {config[self.width]} is no multiple of {self.grain}")
        side, patch = self.sample_shape(config)[1], config["patch_size"]
        if not side or side % patch:
            raise BadRequest(f"{source}: patch_size {patch} does not divide the side of an image, {side}")
        ratio = config.get("mlp_ratio", 4.0)
        if not _is_number(ratio) or not 0 < ratio <= _LARGEST:
            raise BadRequest(f"{source}: mlp_ratio is {_shown(ratio)}, should be a number above 0")
        for name, valid in self.choices.items():
            if config.get(name, valid[0]) not in valid:
                raise BadRequest(f"{source}: {name} is {_shown(config[name])}, not one of: {', '.join(valid)}")
        for name, most in self.counts.items():
            value = config.get(name, most)
            if not re.fullmatch(r"[0-9]{1,9}", str(value)) or not 1 <= int(value) <= most:
                raise BadRequest(f"{source}: {name} is {_shown(value)}, should be a whole number from 1 to {most}")
        for name in self.limits:
            value = config.get(name)
            if value is not None and not (_is_number(value) and value > 0):
                raise BadRequest(f"{source}: {name} is {_shown(value)}, should be null or a number above 0")

    def check_lengths(self, config: Mapping[str, Any], names: Iterable[str], source: object) -> None:
        """BadRequest unless the tensors `names` are of as many layers in every list as the config says."""
        names = list(names)
        for prefix, entry in self.lists.items():
            found = {name[len(prefix) + 1 :].split(".")[0] for name in names if name.startswith(f"{prefix}.")}
            if len(found) != config[entry]:
                raise BadRequest(
                    f"{source} does not fit together: its config says {config[entry]} {prefix}, "
                    f"the file has {len(found)}"
                )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]  # just checked


def _shown(value: object) -> str:
    """A value from a stranger's file, fit for one line."""
    return repr(value)[:60]


_DIT: dict[str, Any] = {
    "stacks": {"blocks": "depth"},
    "sizes": ("input_size", "patch_size", "in_channels", "hidden_size", "depth", "num_heads", "num_classes"),
    "divides": (("hidden_size", "num_heads"),),
    "channels": "in_channels",
    "classes": "num_classes",
    "width": "hidden_size",
    "heads": "num_heads",
    "side": ("input_size", None),
    "lists": {"blocks": "depth"},
    "grain": 4,  # positions have two dimensions, each with a sine and a cosine
}
_MAR_STACKS = {"encoder_blocks": "encoder_depth", "decoder_blocks": "decoder_depth"}
_ROWS = (
    Family("dit", "DiT", "tinylab.models.networks.dit:DiT", "diffusion transformer, predicts noise", **_DIT),
    Family(
        "sit",
        "SiT",
        "tinylab.models.networks.sit:SiT",
        "interpolant transformer, predicts velocity",
        choices={"path": ("linear", "gvp", "vp")},
        **_DIT,
    ),
    Family(
        "mar",
        "MAR",
        "tinylab.models.networks.mar:MAR",
        "masked autoregressive transformer, draws hidden tokens",
        stacks=_MAR_STACKS,
        lists={**_MAR_STACKS, "diffloss.net.res_blocks": "diffloss_d"},
        sizes=(
            *("img_size", "vae_stride", "patch_size", "vae_embed_dim", "class_num", "buffer_size"),
            *("encoder_embed_dim", "encoder_depth", "encoder_num_heads"),
            *("decoder_embed_dim", "decoder_depth", "decoder_num_heads"),
            *("diffloss_d", "diffloss_w", "diffusion_batch_mul"),
        ),
        divides=(
            ("encoder_embed_dim", "encoder_num_heads"),
            ("decoder_embed_dim", "decoder_num_heads"),
            ("img_size", "vae_stride"),
        ),
        channels="vae_embed_dim",
        classes="class_num",
        width="encoder_embed_dim",
        heads="encoder_num_heads",
        side=("img_size", "vae_stride"),
        counts={"num_sampling_steps": 1000, "diffusion_batch_mul": 1024},
        limits=("clip_value",),
    ),
)
FAMILIES: Mapping[str, Family] = MappingProxyType({row.name: row for row in _ROWS})


def family_of(config: Mapping[str, Any], source: object) -> Family:
    """The family whose class the config names; BadRequest for a foreign class. `source` is named in it."""
    name = config.get("_class_name")
    for family in FAMILIES.values():
        if family.class_name == name:
            return family
    known = ", ".join(family.class_name for family in FAMILIES.values())
    more = "; `tinylab.models.adapters` takes other diffusers transformers" if str(name).endswith("Model") else ""
    raise BadRequest(f"{source} holds a {name!r}; Tinylab reads models of the classes {known}{more}")


def history_fits(kept: Any, full_depth: Any, depth: Mapping[str, int]) -> bool:
    """Whether a model of `depth` can have been cut from `full_depth` by keeping `kept`; both are from a file."""
    try:
        return set(kept) == set(full_depth) == set(depth) and all(
            {type(number) for number in (*kept[stack], full_depth[stack])} == {int}
            and list(kept[stack]) == sorted({*kept[stack]})
            and len(kept[stack]) == count
            and 0 <= kept[stack][0] <= kept[stack][-1] < full_depth[stack] <= MOST_BLOCKS
            for stack, count in depth.items()
        )
    except (TypeError, KeyError, IndexError):
        return False


def in_order(stacks: Iterable[str]) -> list[str]:
    """Names of stacks in the order in which a picture passes through them; unknown ones last."""
    known = [stack for family in FAMILIES.values() for stack in family.stacks]
    return sorted(stacks, key=lambda stack: (known.index(stack) if stack in known else len(known), stack))
