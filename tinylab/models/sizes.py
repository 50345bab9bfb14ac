"""The published sizes of each family by name, as configs. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["HEADS", "SIZES", "Size", "size_name"]


@dataclass(frozen=True)
class Size:
    """One published model: its family and the whole config it is built with."""

    family: str
    config: Mapping[str, Any]


# Letter: depth, width, heads (Peebles & Xie 2023, table 1; SiT has the same).
_LETTERS = {"S": (12, 384, 6), "B": (12, 768, 12), "L": (24, 1024, 16), "XL": (28, 1152, 16)}
# What depth pruning left of an XL (Fang et al. 2024): depth.
_SHALLOW = {
    "TinyDiT-D19": ("dit", 19),
    "TinyDiT-D14": ("dit", 14),
    "TinyDiT-D7": ("dit", 7),
    "TinySiT-D14": ("sit", 14),
}
# Letter: depth of encoder and of decoder, width, heads, depth and width of the head (Li et al. 2024).
_MASKED = {"B": (12, 768, 12, 6, 1024), "L": (16, 1024, 16, 8, 1280), "H": (20, 1280, 16, 12, 1536)}
# Latent side by the ending of the name: pictures of 256 pixels need none.
_SIDES = {"": 32, "-512": 64}


def _transformer(family: str, depth: int, width: int, heads: int, patch: int, side: int) -> Size:
    config: dict[str, Any] = {"input_size": side, "patch_size": patch, "in_channels": 4, "hidden_size": width}
    config |= {"depth": depth, "num_heads": heads, "mlp_ratio": 4.0, "num_classes": 1000, "learn_sigma": True}
    return Size(family, config)


def _masked(depth: int, width: int, heads: int, head_depth: int, head_width: int) -> Size:
    config: dict[str, Any] = {"img_size": 256, "vae_stride": 16, "patch_size": 1}
    for part in ("encoder", "decoder"):
        config |= {f"{part}_embed_dim": width, f"{part}_depth": depth, f"{part}_num_heads": heads}
    config |= {"mlp_ratio": 4.0, "vae_embed_dim": 16, "class_num": 1000, "buffer_size": 64}
    return Size("mar", config | {"diffloss_d": head_depth, "diffloss_w": head_width})


def _table() -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for ending, side in _SIDES.items():
        for family, prefix in (("dit", "DiT"), ("sit", "SiT")):
            for letter, (depth, width, heads) in _LETTERS.items():
                for patch in (2, 4, 8):
                    size = _transformer(family, depth, width, heads, patch, side)
                    sizes[f"{prefix}-{letter}/{patch}{ending}"] = size
        for name, (family, depth) in _SHALLOW.items():
            _, width, heads = _LETTERS["XL"]
            sizes[f"{name}/2{ending}"] = _transformer(family, depth, width, heads, 2, side)
    return sizes | {f"MAR-{letter}": _masked(*numbers) for letter, numbers in _MASKED.items()}


SIZES: Mapping[str, Size] = MappingProxyType(_table())

# Width: number of attention heads, which no checkpoint states.
HEADS: Mapping[int, int] = MappingProxyType(
    {numbers[1]: numbers[2] for table in (_LETTERS, _MASKED) for numbers in table.values()}
)


def size_name(family: str, config: Mapping[str, Any]) -> str | None:
    """The published size that `config` is of, None for another one; entries that the size leaves open do not count."""
    for name, size in SIZES.items():
        if size.family == family and all(config.get(key) == value for key, value in size.config.items()):
            return name
    return None
