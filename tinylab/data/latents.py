"""Pictures that an autoencoder has encoded, read from the disk as they are needed."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tinylab.data.catalog import locate_latents
from tinylab.data.features import FeatureFolder, find_features
from tinylab.data.order import step_generator
from tinylab.data.shards import ShardFolder
from tinylab.errors import BadRequest

__all__ = ["LatentSet", "open_latents"]

_SPLIT_SEED = 0
_HELD_OUT_SHARE, _MOST_HELD_OUT = 0.1, 1024


class _Source(Protocol):
    """A folder of latents in one of the two layouts."""

    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    views: int

    @property
    def labels(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def read(self, rows: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


class _Images:
    """Stands where a tensor of all images (N, C, H, W) would: indexing it reads what is asked for, never mirrored."""

    def __init__(self, data: LatentSet) -> None:
        self._data = data
        self.shape = torch.Size((len(data), *data.sample_shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: Tensor | slice | int) -> Tensor:
        positions = torch.arange(len(self))[indices]
        x, _ = self._data.take(positions.reshape(-1))
        return x.reshape(*positions.shape, *self.shape[1:])


class LatentSet:
    """Latents (C, H, W) float32 and their classes, on the disk. See `tinylab.data.base.Dataset`.

    Args:
        source: the folder they are read from.
        rows: which of its pictures belong to the set (N,) int64, all by default.
    """

    def __init__(self, source: _Source, rows: Tensor | None = None) -> None:
        self.source = source
        self.rows = torch.arange(len(source)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """Shape of one latent, (C, H, W)."""
        return self.source.shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes by id."""
        return self.source.class_names

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def images(self) -> _Images:
        """All latents without mirroring, read when indexed."""
        return _Images(self)

    @property
    def labels(self) -> Tensor:
        """Classes (N,) int64; of a feature folder, the first use reads every label file."""
        return torch.from_numpy(self.source.labels)[self.rows]

    @property
    def views(self) -> int:
        """2 where each picture has a mirrored twin."""
        return self.source.views

    def take(self, indices: Tensor, views: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Latents (n, C, H, W) and classes (n,) at `indices` (n,), of the `views` (n,) or the first of each.

        Raises:
            BadRequest: a file is damaged, foreign, or holds values that are not numbers.
        """
        rows = self.rows[indices.cpu()].numpy()
        shown = np.zeros(len(rows), dtype=np.int64) if views is None else views.numpy()
        latents, labels = self.source.read(rows, shown)
        return torch.from_numpy(latents), torch.from_numpy(labels)

    def split(self) -> tuple[LatentSet, LatentSet]:
        """The fixed (training, held-out) split: a tenth, 1,024 at most, is never trained on."""
        count = len(self)
        if count < 2:
            raise BadRequest("one picture cannot be split into training and held-out ones; encode some more")
        held_out = min(_MOST_HELD_OUT, max(1, int(count * _HELD_OUT_SHARE)))
        order = self.rows[torch.randperm(count, generator=step_generator(_SPLIT_SEED, 0, stream=3))]
        return (
            LatentSet(self.source, order[held_out:].sort().values),
            LatentSet(self.source, order[:held_out].sort().values),
        )


def open_latents(reference: str) -> LatentSet:
    """Everything in a folder of latents or features, given by path, run folder or run id.

    Raises:
        BadRequest: nothing there, damaged, or files that do not fit together.
    """
    path = locate_latents(str(reference))
    features = find_features(path)
    source: _Source = FeatureFolder(features) if features else ShardFolder(path)
    return LatentSet(source)
