"""A folder of latents to read from, where none is at hand."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from tinylab.data.latent_index import LatentIndex, Shard, shard_name, write_index
from tinylab.data.shards import file_digest

__all__ = ["write_random_latents"]

_SHARDS = 2


def write_random_latents(folder: Path, count: int, shape: tuple[int, int, int], num_classes: int) -> None:
    """Write `count` latents of Gaussian noise, shape (C, H, W), with mirrored twins in float16, as `tinylab encode`
    does."""
    generator, shards = torch.Generator().manual_seed(0), []
    for number in range(_SHARDS):
        rows = len(range(number, count, _SHARDS))
        latents = torch.randn(rows, *shape, generator=generator).half()
        labels = torch.randint(num_classes, (rows,), generator=generator)
        path = folder / shard_name(number)
        save_file({"latents": latents, "flipped": latents.flip(3).contiguous(), "labels": labels}, path)
        shards.append(Shard(path.name, rows, path.stat().st_size, file_digest(path)))
    index = LatentIndex(
        shape=shape,
        dtype="float16",
        flips=True,
        posterior="sample",
        scaling_factor=1.0,
        shift_factor=None,
        class_names=tuple(f"class {number}" for number in range(num_classes)),
        vae={"name": "noise", "sha256": ""},
        source={"name": "noise", "count": count, "sha256": "", "size": shape[1], "seed": 0, "skipped": 0},
        shards=tuple(shards),
    )
    write_index(folder, index)
