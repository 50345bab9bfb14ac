"""Samples of one model on the disk, batch by batch: a batch is whole or not there, so a job can end at any moment."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylab import atomic
from tinylab.errors import Failure

__all__ = ["Batches"]


@dataclass(frozen=True)
class Batches:
    """`count` samples in files of `size`, the last one with the rest."""

    folder: Path
    count: int
    size: int

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The pixels of every batch in order, uint8 (n, H, W, C). All must be there."""
        return (self._read(number)[0] for number in range(len(self)))

    def rows(self, number: int) -> range:
        """The samples of a batch."""
        return range(number * self.size, min(self.count, (number + 1) * self.size))

    def missing(self) -> list[int]:
        """The batches that are still to be drawn."""
        return [number for number in range(len(self)) if not self._path(number).is_file()]

    def write(self, number: int, pixels: np.ndarray, seconds: float) -> None:
        """Store a batch (n, H, W, C) and how long it took to draw."""
        buffer = io.BytesIO()
        np.savez(buffer, pixels=pixels, seconds=np.float64(seconds))
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(self._path(number), buffer.getvalue())

    def seconds_per_image(self) -> list[float]:
        """Of every batch, in order."""
        return [self._read(number)[1] / len(self.rows(number)) for number in range(len(self))]

    def _path(self, number: int) -> Path:
        return self.folder / f"batch-{number:06d}.npz"

    def _read(self, number: int) -> tuple[np.ndarray, float]:
        path = self._path(number)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return stored["pixels"], float(stored["seconds"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            raise Failure(f"{path} is damaged; delete it and resume: that batch is drawn anew") from None
