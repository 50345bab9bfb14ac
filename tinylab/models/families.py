"""The families of models: one row each, free of torch. What a config means is read here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tinylab.errors import BadRequest

__all__ = ["FAMILIES", "Family", "family_of", "in_order"]


@dataclass(frozen=True)
class Family:
    """How the config of a model family is to be read.

    Attributes:
        name: as in `--family`; also names the objective and the samplers.
        class_name: what `config.json` calls the class.
        target: where the class is, `package.module:attribute`.
        summary: one line for people.
        stacks: the config entry that holds the length of each stack of blocks.
        sizes: config entries that must be whole numbers from 1.
        divides: pairs of entries of which the first must be a multiple of the second.
        channels, classes, width, heads: the entries with these meanings.
        side: the entry of the image's side, and the entry it is divided by, if any.
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
        """BadRequest for sizes that cannot be, before a network of that size is even sketched."""
        for name in self.sizes:
            value = config.get(name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadRequest(f"{source}: {name} is {value!r}, should be a whole number from 1")
        for whole, part in self.divides:
            if config[whole] % config[part]:
                raise BadRequest(f"{source}: {part} {config[part]} does not divide {whole} {config[whole]}")


_DIT: dict[str, Any] = {
    "stacks": {"blocks": "depth"},
    "sizes": ("input_size", "patch_size", "in_channels", "hidden_size", "depth", "num_heads", "num_classes"),
    "divides": (("hidden_size", "num_heads"), ("input_size", "patch_size")),
    "channels": "in_channels",
    "classes": "num_classes",
    "width": "hidden_size",
    "heads": "num_heads",
    "side": ("input_size", None),
}
_ROWS = (
    Family("dit", "DiT", "tinylab.models.dit:DiT", "diffusion transformer, predicts noise", **_DIT),
    Family("sit", "SiT", "tinylab.models.sit:SiT", "interpolant transformer, predicts velocity", **_DIT),
    Family(
        "mar",
        "MAR",
        "tinylab.models.mar:MAR",
        "masked autoregressive transformer, draws hidden tokens",
        stacks={"encoder_blocks": "encoder_depth", "decoder_blocks": "decoder_depth"},
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


def in_order(stacks: Iterable[str]) -> list[str]:
    """Names of stacks in the order in which a picture passes through them; unknown ones last."""
    known = [stack for family in FAMILIES.values() for stack in family.stacks]
    return sorted(stacks, key=lambda stack: (known.index(stack) if stack in known else len(known), stack))
