"""Finding autoencoders and telling what they are from their config alone: no torch, no allocation."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.files.json_file import read_object
from tinylab.files.tensor_file import read_header
from tinylab.models.families import WEIGHTS_FILE
from tinylab.paths import exists

__all__ = ["AutoencoderInfo", "describe_autoencoder"]

_CLASS = "AutoencoderKL"
_CONFIG_LIMIT = 2**20  # bytes
_MOST = {"latent_channels": 512, "layers_per_block": 16, "norm_num_groups": 1024, "stages": 8, "width": 8192}


@dataclass(frozen=True)
class AutoencoderInfo:
    """What an autoencoder folder says of itself.

    Attributes:
        config: what AutoencoderKL is built with.
        latent_channels: channels of a latent.
        factor: pixels of a picture's side for one of a latent's.
        scaling_factor, shift_factor: a diffusion model sees (z - shift) · scaling.
    """

    path: Path
    config: dict[str, Any]
    latent_channels: int
    factor: int
    scaling_factor: float
    shift_factor: float | None

    def latent_shape(self, size: int) -> tuple[int, int, int]:
        """Shape (C, H, W) of the latent of a square picture with `size` pixels a side; BadRequest if there is none."""
        if size < self.factor or size % self.factor:
            raise BadRequest(f"size {size} is no multiple of {self.factor}, by which the autoencoder shrinks pictures")
        return (self.latent_channels, size // self.factor, size // self.factor)

    def check_fits(self, sample_shape: tuple[int, ...], model: str) -> None:
        """BadRequest unless a model with these samples (C, H, W), called `model`, works on such latents."""
        if sample_shape[0] != self.latent_channels:
            raise BadRequest(
                f"the autoencoder in {self.path} makes latents of {self.latent_channels} channels, model {model!r} "
                f"has {sample_shape[0]}; give the autoencoder that the model was trained with"
            )


def describe_autoencoder(reference: str) -> AutoencoderInfo:
    """Read and check the config of an AutoencoderKL in a diffusers folder, or in the `vae/` of a whole pipeline."""
    path = _locate(reference)
    source = path / "config.json"
    config = _read_config(source)
    if config.get("_class_name") != _CLASS:
        raise BadRequest(f"{path} holds a {config.get('_class_name')!r}; autoencoders of class {_CLASS} are read")
    channels = config.get("latent_channels", 4)
    _check_sizes(source, config)
    scaling, shift = config.get("scaling_factor", 0.18215), config.get("shift_factor")
    if not _is_number(scaling) or not scaling > 0 or not (shift is None or _is_number(shift)):
        raise BadRequest(f"{source}: scaling_factor {scaling!r} and shift_factor {shift!r} should be numbers")
    if config.get("latents_mean") is not None or config.get("latents_std") is not None:
        raise BadRequest(f"{source} scales every channel by itself (latents_mean); one scaling_factor is read")
    read_header(path / WEIGHTS_FILE)
    stages = len(config["block_out_channels"])
    return AutoencoderInfo(path, config, channels, 2 ** (stages - 1), float(scaling), shift)


def _locate(reference: str) -> Path:
    if not reference:
        raise BadRequest("no autoencoder given; name its folder with --vae DIR")
    folder = Path(reference)
    for candidate in (folder, folder / "vae"):
        if exists(candidate / "config.json") and exists(candidate / WEIGHTS_FILE):
            return candidate
    if exists(folder):
        raise BadRequest(f"{reference} holds no autoencoder: config.json and {WEIGHTS_FILE} are needed")
    raise BadRequest(f"there is no folder {reference!r}; give one that holds an {_CLASS}")


def _read_config(path: Path) -> dict[str, Any]:
    config = read_object(path, _CONFIG_LIMIT)
    if config is None:
        raise BadRequest(f"{path} is not a model config; get a whole copy of the folder")
    return config


def _check_sizes(source: Path, config: dict[str, Any]) -> None:
    """Refuse sizes that cannot be, before a network of that size is even sketched."""
    for name, default in (("latent_channels", 4), ("layers_per_block", 1), ("norm_num_groups", 32)):
        value = config.get(name, default)
        if not _is_count(value, _MOST[name]):
            raise BadRequest(f"{source}: {name} is {value!r}, should be a whole number from 1 to {_MOST[name]}")
    for name, default in (("in_channels", 3), ("out_channels", 3)):
        if config.get(name, default) != 3:
            raise BadRequest(f"{source}: {name} is {config[name]!r}; autoencoders of RGB pictures are read")
    widths = config.get("block_out_channels")
    if not isinstance(widths, list) or not 1 <= len(widths) <= _MOST["stages"]:
        raise BadRequest(f"{source}: block_out_channels should be a list of at most {_MOST['stages']} widths")
    if not all(_is_count(width, _MOST["width"]) for width in widths):
        raise BadRequest(f"{source}: block_out_channels {widths} should be whole numbers from 1 to {_MOST['width']}")
    for name in ("down_block_types", "up_block_types"):
        kinds = config.get(name)
        if not isinstance(kinds, list) or len(kinds) != len(widths) or not all(isinstance(k, str) for k in kinds):
            raise BadRequest(f"{source}: {name} should name {len(widths)} blocks, one for each of block_out_channels")


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
