"""Small pictures and a small autoencoder, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

__all__ = ["make_autoencoder", "make_pictures", "picture"]

_SHAPE: dict[str, Any] = {
    "block_out_channels": (4, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 2,
    "latent_channels": 4,
    "sample_size": 16,
}


def make_autoencoder(folder: Path, **changes: Any) -> AutoencoderKL:
    """Save an AutoencoderKL that halves the side of a picture; return it in eval mode."""
    torch.manual_seed(0)
    network = AutoencoderKL(**{**_SHAPE, **changes}).eval()
    network.save_pretrained(folder, safe_serialization=True)
    return network


def picture(seed: int, width: int = 24, height: int = 16) -> Image.Image:
    """Smooth colours, different for every seed."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), resample=Image.Resampling.BICUBIC)


def make_pictures(folder: Path, counts: dict[str, int]) -> Path:
    """A folder of PNGs, `counts` for each class, all different."""
    seed = 0
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture(seed, 20 + seed, 16 + seed % 7).save(folder / name / f"{number:03d}.png")
            seed += 1
    return folder
