"""Encode a folder of pictures into shards of latents; a shard is whole or not there."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from tinylab.config import EncodeConfig
from tinylab.data.crop import BrokenPicture
from tinylab.data.latent_index import LatentIndex, Shard, shard_name, write_index
from tinylab.data.order import step_generator
from tinylab.data.pictures import Pictures, open_pictures
from tinylab.data.shards import file_digest
from tinylab.errors import BadRequest, Stopped
from tinylab.files import atomic
from tinylab.jobs.context import JobContext
from tinylab.models.autoencoder.load import Autoencoder, load_autoencoder
from tinylab.training.recorder import StepRecord

__all__ = ["run"]

_NAMED = 20  # skipped pictures that are named in the result


def run(config: EncodeConfig, context: JobContext) -> dict[str, Any]:
    """Write `latents/` shard by shard, from the first that is not whole; return what is in it.

    Every random number is a function of (seed, picture): a resumed run writes the same files, byte for byte on a CPU.
    """
    pictures = open_pictures(Path(config.data), config.workers)
    vae = load_autoencoder(config.vae, config.device)
    folder = context.run.path / "latents"
    folder.mkdir(exist_ok=True)
    for leftover in folder.glob(".shard-*"):  # of writes that were killed
        leftover.unlink()
    journal = _Journal(context.run.checkpoints / "shards.json", pictures.fingerprint, vae.fingerprint)
    shards = journal.whole_shards(folder)
    context.rewind(len(shards))
    for number in range(len(shards), -(-len(pictures) // config.shard_size)):
        began = time.monotonic()
        rows = range(number * config.shard_size, min(len(pictures), (number + 1) * config.shard_size))
        tensors, broken = _encode(rows, pictures, vae, config, context)
        data = save(tensors)
        path = folder / shard_name(number)
        atomic.write_bytes(path, data)
        shards.append(Shard(path.name, len(tensors["labels"]), len(data), file_digest(path), len(broken)))
        journal.write(shards, broken)
        pace = len(rows) / (time.monotonic() - began)
        context.record(number + 1, StepRecord({"pictures_per_second": pace, "skipped": float(len(broken))}))
    return _finish(folder, config, pictures, vae, shards, journal.skipped)


def _encode(
    rows: range, pictures: Pictures, vae: Autoencoder, config: EncodeConfig, context: JobContext
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of one shard, and what was wrong with the pictures left out of it."""
    views = ("latents", "flipped") if config.flips else ("latents",)
    parts: dict[str, list[Tensor]] = {name: [] for name in views}
    labels = pictures.labels[:0]
    broken: list[str] = []
    for batch, found in _prefetch(rows, pictures, config):
        context.progress(batch.start, len(pictures))
        if context.should_stop():
            raise Stopped(f"stopped at picture {batch.start} of {len(pictures)}")
        read: list[np.ndarray] = []
        kept: list[int] = []
        for row, picture in zip(batch, found, strict=True):
            if isinstance(picture, BrokenPicture):
                if not config.skip_broken:
                    raise BadRequest(f"{picture}; put a whole one there and resume, or start again with --skip-broken")
                broken.append(str(picture))
            else:
                read.append(picture)
                kept.append(row)
        if kept:
            x = torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
            for flip, name in enumerate(views):
                parts[name].append(_latents(vae, x.flip(3) if flip else x, kept, flip, config))
            labels = np.concatenate([labels, pictures.labels[kept]])
    context.progress(rows.stop, len(pictures))
    empty = torch.zeros(0, *vae.info.latent_shape(config.size), dtype=getattr(torch, config.dtype))
    tensors = {name: torch.cat(found or [empty]).contiguous() for name, found in parts.items()}
    return tensors | {"labels": torch.from_numpy(labels)}, broken


def _latents(vae: Autoencoder, x: Tensor, rows: list[int], flip: int, config: EncodeConfig) -> Tensor:
    """Latents (n, C, h, w) of pictures x (n, 3, H, W), as they are stored."""
    noise, shape = None, vae.info.latent_shape(config.size)
    if config.posterior == "sample":
        noise = torch.stack(
            [torch.randn(shape, generator=step_generator(config.seed, row, stream=11 + flip)) for row in rows]
        )
    latents = vae.encode(x, noise).cpu()
    if latents.shape[1:] != shape:
        raise BadRequest(f"the autoencoder in {vae.info.path} makes latents of {tuple(latents.shape[1:])}, not {shape}")
    stored = latents.to(getattr(torch, config.dtype))
    if not torch.isfinite(stored).all():
        advice = "use --dtype float32" if torch.isfinite(latents).all() else "its weights are damaged"
        raise BadRequest(f"the autoencoder gives values that {config.dtype} cannot hold; {advice}")
    return stored


def _prefetch(rows: range, pictures: Pictures, config: EncodeConfig) -> Iterator[tuple[range, Any]]:
    """Batches of pictures, the next one being read while the last is encoded."""
    batches = [rows[at : at + config.batch_size] for at in range(0, len(rows), config.batch_size)]
    with ThreadPoolExecutor(1) as reader:
        waiting = reader.submit(pictures.read, batches[0], config.size)
        for batch, following in zip(batches, [*batches[1:], None], strict=True):
            found = waiting.result()
            if following is not None:
                waiting = reader.submit(pictures.read, following, config.size)
            yield batch, found


class _Journal:
    """Which shards are whole, in a file that is replaced after each; it ties them to their pictures and autoencoder."""

    def __init__(self, path: Path, source: str, vae: str) -> None:
        self.path, self.source, self.vae = path, source, vae
        self.skipped: list[str] = []

    def whole_shards(self, folder: Path) -> list[Shard]:
        """The shards from the first on whose checksums hold."""
        if not self.path.is_file():
            return []
        try:
            values = json.loads(self.path.read_text())
            listed = [Shard(**entry) for entry in values["shards"]]
        except (ValueError, KeyError, TypeError):  # damaged: encode everything again
            return []
        if values["source"] != self.source:
            raise BadRequest("pictures were added, removed or renamed since the run began; start a new one")
        if values["vae"] != self.vae:
            raise BadRequest("the autoencoder is another one than when the run began; start a new one")
        whole: list[Shard] = []
        for shard in listed:
            if file_digest(folder / shard.file) != shard.sha256:
                break
            whole.append(shard)
        kept = sum(shard.skipped for shard in whole)
        self.skipped = values["skipped"][: min(kept, _NAMED)]
        return whole

    def write(self, shards: list[Shard], broken: list[str]) -> None:
        """Add the last shard, and name the pictures that it lacks."""
        self.skipped = (self.skipped + broken)[:_NAMED]
        values = {"source": self.source, "vae": self.vae, "skipped": self.skipped, "shards": [*map(asdict, shards)]}
        atomic.write_text(self.path, json.dumps(values))


def _finish(
    folder: Path, config: EncodeConfig, pictures: Pictures, vae: Autoencoder, shards: list[Shard], named: list[str]
) -> dict[str, Any]:
    skipped = sum(shard.skipped for shard in shards)
    info = vae.info
    index = LatentIndex(
        shape=info.latent_shape(config.size),
        dtype=config.dtype,
        flips=config.flips,
        posterior=config.posterior,
        scaling_factor=info.scaling_factor,
        shift_factor=info.shift_factor,
        class_names=pictures.class_names,
        vae={"name": info.path.name, "sha256": vae.fingerprint},
        source={
            "name": pictures.name,
            "count": len(pictures),
            "sha256": pictures.fingerprint,
            "size": config.size,
            "seed": config.seed,
            "skipped": skipped,
        },
        shards=tuple(shards),
    )
    if not index.count:
        raise BadRequest(f"not one of the {len(pictures)} pictures could be read; the first: {named[0]}")
    write_index(folder, index)
    return {
        "pictures": index.count,
        "skipped": skipped,
        "skipped_first": named,
        "classes": len(index.class_names),
        "shape": list(index.shape),
        "flips": index.flips,
        "shards": len(shards),
        "bytes": sum(shard.size for shard in shards),
    }
