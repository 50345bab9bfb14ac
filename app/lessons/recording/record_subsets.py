"""What becomes of digits-dit for each of the 4096 ways to switch its blocks on and off.

Bit i of a mask is 1 where block i is on. Everything is computed by the code that the lab samples and measures with;
only what masks have in common from the first block on is computed once where the loss is measured.
"""

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from app.lessons.choices import ground_truth
from app.lessons.recorded import COLUMNS, LEVELS, SETTINGS, SPRITE, TABLE, is_exact
from tinylab.data.digits import load_digits
from tinylab.diffusion import Draw, objective_for
from tinylab.files import atomic
from tinylab.metrics.denoising import NoisedBatch, held_out_loss, noised_batches
from tinylab.models.load import load_model, load_reader
from tinylab.models.networks.dit import DiT
from tinylab.models.networks.reader import read_digits
from tinylab.sampling.generate import Settings, generate

__all__ = ["blocks_on", "draw_subset", "exact_loss", "levels_of", "losses_of_part", "only", "record_subsets", "teacher"]

_SEED = 0  # of the held-out loss, as everywhere in the lab
_CLASSES = 10
_AT_ONCE = 32  # noised images that are passed through a block at once: they stay in the cache
_TOGETHER = 4  # last blocks whose ways are judged at once


def teacher() -> DiT:
    """The model that the lesson is about."""
    model = load_model(SETTINGS["model"])
    assert isinstance(model, DiT)
    return model


@contextlib.contextmanager
def only(model: DiT, blocks: Sequence[nn.Module]) -> Iterator[DiT]:
    """Within the context the model has these blocks alone; unlike a plan, it may have none."""
    whole = model.blocks
    model.blocks = nn.ModuleList(blocks)
    try:
        yield model
    finally:
        model.blocks = whole


def blocks_on(model: DiT, mask: int) -> list[nn.Module]:
    """The blocks that a mask leaves on."""
    return [block for i, block in enumerate(model.blocks) if mask >> i & 1]


def draw_subset(model: DiT, mask: int) -> Tensor:
    """Ten digits (10, 1, 8, 8), one a class, always from the same noise."""
    settings = Settings(SETTINGS["sampler"], SETTINGS["steps"], SETTINGS["guidance"], SETTINGS["seed"])
    with only(model, blocks_on(model, mask)):
        return generate(model, objective_for(model), torch.arange(_CLASSES), settings)


def levels_of(images: Tensor) -> np.ndarray:
    """Images (N, 1, 8, 8) in [-1, 1] as grey levels 0 to LEVELS - 1, (N, 8, 8)."""
    scaled = images[:, 0].clamp(-1, 1).add(1).mul((LEVELS - 1) / 2).round()
    return scaled.nan_to_num(0).byte().numpy()


class _Given(nn.Module):
    """In place of all blocks: keeps what it is given, and returns what it is told to, if anything."""

    def __init__(self, output: Tensor | None = None) -> None:
        super().__init__()
        self.output, self.tokens, self.c = output, torch.empty(0), torch.empty(0)

    def forward(self, tokens: Tensor, c: Tensor) -> Tensor:
        self.tokens, self.c = tokens, c
        return tokens if self.output is None else self.output


def _parts(batch: NoisedBatch) -> list[NoisedBatch]:
    """The batch, a few noised images at a time."""
    draws = zip(batch.draw.t.split(_AT_ONCE), batch.draw.noise.split(_AT_ONCE), strict=True)
    images = zip(batch.x.split(_AT_ONCE), batch.y.split(_AT_ONCE), strict=True)
    return [NoisedBatch(x, y, Draw(*draw)) for (x, y), draw in zip(images, draws, strict=True)]


@torch.inference_mode()
def losses_of_part(model: DiT, part: NoisedBatch) -> np.ndarray:
    """The sum of the losses of a few noised images for every mask, (4096,).

    Down a tree: at every block one way with it and one without; the last few blocks for all ways at once.
    """
    objective, blocks, count = objective_for(model), list(model.blocks), len(part.x)
    depth, copies = len(blocks), 1 << _TOGETHER
    several = NoisedBatch(
        part.x.repeat(copies, 1, 1, 1),
        part.y.repeat(copies),
        Draw(part.draw.t.repeat(copies), part.draw.noise.repeat(copies, 1, 1, 1)),
    )
    sums = np.zeros(1 << depth)
    given = _Given()
    with only(model, [given]):
        objective.forward(model, part.x, part.y, part.draw)
    start, c = given.tokens, given.c

    def go(tokens: Tensor, index: int, mask: int) -> None:
        if index < depth - _TOGETHER:
            go(tokens, index + 1, mask)
            go(blocks[index](tokens, c), index + 1, mask | 1 << index)
            return
        for block in blocks[index:]:  # the copies with it come after those without: bit by bit as in a mask
            tokens = torch.cat([tokens, *(block(each, c) for each in tokens.split(count))])
        given.output = tokens
        losses = objective.losses(model, several.x, several.y, several.draw).loss.double()
        sums[[mask | rest << index for rest in range(copies)]] = losses.view(copies, count).sum(dim=1).numpy()

    with only(model, [given]):
        go(start, 0, 0)
    return sums


def record_subsets(folder: Path, work: Path, say: Callable[[str], None]) -> None:
    """Write the sprite and the table; what is done already lies in `work`."""
    model = teacher()
    count = 1 << len(model.blocks)
    levels, read = _samples(model, count, work, say)
    loss = _losses(model, work, say)
    atomic.write_bytes(folder / SPRITE, _png(levels))
    table = {**SETTINGS, "loss": [float(f"{value:.5g}") for value in loss], "read": read.tolist()}
    atomic.write_text(folder / TABLE, json.dumps(table, separators=(",", ":")) + "\n")


def _losses(model: DiT, work: Path, say: Callable[[str], None]) -> np.ndarray:
    """The losses of all masks, see `Subsets`; those of the study are known."""
    _, held_out = load_digits()
    depth = len(model.blocks)
    sums = np.zeros(1 << depth)
    batches = noised_batches(objective_for(model), held_out, len(held_out), _SEED, torch.device("cpu"))
    done = 0
    for i, part in enumerate(part for batch in batches for part in _parts(batch)):
        file = work / f"loss-{i}.npy"
        if not file.is_file():
            _keep(file, losses_of_part(model, part))
        sums += np.load(file)
        done += len(part.x)
        say(f"losses: {done:,} of {len(held_out):,} noised images")
    losses = sums / len(held_out)
    known = {sum(1 << int(name) for name in row.kept): row.loss_pruned for row in ground_truth().table.rows}
    for mask in range(1 << depth):
        if is_exact(mask, depth):
            losses[mask] = known.get(mask) or exact_loss(model, mask)
    return losses


def exact_loss(model: DiT, mask: int) -> float:
    """The held-out loss of a mask, as everywhere in the lab."""
    with only(model, blocks_on(model, mask)):
        return held_out_loss(model, objective_for(model), load_digits()[1]).loss


def _samples(model: DiT, count: int, work: Path, say: Callable[[str], None]) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels (4096, 10, 8, 8), and for each mask which digits are read: bit c for class c."""
    reader = load_reader(model)
    assert reader is not None
    parts: list[Any] = []
    for first in range(0, count, COLUMNS):
        file = work / f"samples-{first}.npz"
        if not file.is_file():
            drawn = torch.stack([draw_subset(model, mask) for mask in range(first, first + COLUMNS)])
            right = read_digits(reader, drawn.flatten(0, 1)).view(-1, _CLASSES) == torch.arange(_CLASSES)
            read = (right.long() << torch.arange(_CLASSES)).sum(dim=1).numpy()
            levels = levels_of(drawn.flatten(0, 1)).reshape(-1, _CLASSES, 8, 8)
            _keep(file, levels=levels, read=read)
        parts.append(np.load(file))
        say(f"samples: {first + COLUMNS:,} of {count:,} masks")
    return np.concatenate([part["levels"] for part in parts]), np.concatenate([part["read"] for part in parts])


def _keep(file: Path, array: np.ndarray | None = None, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    if array is not None:
        np.save(buffer, array)
    else:
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    atomic.write_bytes(file, buffer.getvalue())


def _png(levels: np.ndarray) -> bytes:
    """All digits in one picture of 16 greys: COLUMNS masks a row, ten digits beside each other for each."""
    masks, digits, side, _ = levels.shape
    rows = levels.reshape(masks // COLUMNS, COLUMNS, digits, side, side).transpose(0, 3, 1, 2, 4)
    picture = Image.fromarray(rows.reshape(masks // COLUMNS * side, -1).astype(np.uint8), mode="P")
    picture.putpalette([grey for level in range(LEVELS) for grey in [level * 255 // (LEVELS - 1)] * 3])
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True, bits=4)
    return buffer.getvalue()
