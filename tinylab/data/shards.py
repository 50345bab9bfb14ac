"""Reading `tinylab encode`'s shards row by row, straight from the files. Free of torch.

Rows are fetched with positioned reads: the system keeps what is in use in its cache, as it would for a memory map, but
a file that shrinks meanwhile gives an error instead of ending the process.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinylab.data.latent_index import LatentIndex, Shard, read_index
from tinylab.errors import BadRequest
from tinylab.files.tensor_file import read_layout

__all__ = ["ShardFolder", "file_digest"]


@dataclass(frozen=True)
class _Layout:
    """Where the tensors of one shard start in its file, views in the order plain, mirrored."""

    views: tuple[int, ...]
    labels: int


class ShardFolder:
    """All pictures of a folder of latents, in order; `views` is 2 where each has a mirrored twin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: LatentIndex = read_index(folder)
        self.shape, self.class_names = self.index.shape, self.index.class_names
        self.views = 2 if self.index.flips else 1
        self._dtype = np.dtype(self.index.dtype).newbyteorder("<")
        self._row = int(np.prod(self.shape)) * self._dtype.itemsize  # bytes
        self._layouts = [self._layout(shard) for shard in self.index.shards]
        self._starts = np.cumsum([0, *(shard.count for shard in self.index.shards)])
        parts = [self._labels(number) for number in range(len(self.index.shards))]
        self.labels = np.concatenate(parts)  # (N,) int64

    def __len__(self) -> int:
        return self.index.count

    def read(self, rows: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latents (n, C, H, W) float32 and classes (n,) int64 of these rows (n,), of view 0 or 1 each (n,)."""
        found = np.empty((len(rows), *self.shape), dtype=np.float32)
        places = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(places):
            wanted = np.flatnonzero(places == number)
            path, layout = self._path(number), self._layouts[number]
            with _opened(path) as file:
                for at in wanted:
                    begin = layout.views[views[at]] + int(rows[at] - self._starts[number]) * self._row
                    data = _read_exactly(file.fileno(), self._row, begin, path)
                    found[at] = np.frombuffer(data, dtype=self._dtype).reshape(self.shape)
            if not np.isfinite(found[wanted]).all():
                raise BadRequest(f"{path} holds values that are not numbers; get a whole copy of it or encode again")
        return found, self.labels[rows]

    def verify(self) -> None:
        """Compare every shard with its checksum, reading all of them; BadRequest names the first damaged one."""
        for shard in self.index.shards:
            if file_digest(self.folder / shard.file) != shard.sha256:
                raise BadRequest(f"{self.folder / shard.file} is damaged; get a whole copy of it or encode again")

    def _path(self, number: int) -> Path:
        return self.folder / self.index.shards[number].file

    def _layout(self, shard: Shard) -> _Layout:
        path = self.folder / shard.file
        header, start = read_layout(path)
        names = ("latents", "flipped") if self.index.flips else ("latents",)
        kind = {"float16": "F16", "float32": "F32"}[self.index.dtype]
        wanted = {name: (kind, [shard.count, *self.shape]) for name in names} | {"labels": ("I64", [shard.count])}
        if {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()} != wanted:
            raise BadRequest(f"{path} does not hold what the index says; get a whole copy of the folder")
        begin = {name: start + header[name]["data_offsets"][0] for name in wanted}
        return _Layout(tuple(begin[name] for name in names), begin["labels"])

    def _labels(self, number: int) -> np.ndarray:
        path, count = self._path(number), self.index.shards[number].count
        with _opened(path) as file:
            data = _read_exactly(file.fileno(), 8 * count, self._layouts[number].labels, path)
        labels = np.frombuffer(data, dtype="<i8").astype(np.int64)
        if count and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise BadRequest(f"{path} names classes beyond the {len(self.class_names)} of the index; encode again")
        return labels


def file_digest(path: Path) -> str:
    """Hexadecimal sha256 of a file; empty if there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path):
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise BadRequest(f"{path} cannot be read ({error.strerror}); get a whole copy of the folder") from None


def _read_exactly(descriptor: int, size: int, begin: int, path: Path) -> bytes:
    data = os.pread(descriptor, size, begin)
    while 0 < len(data) < size:  # a network file system may give less at once
        more = os.pread(descriptor, size - len(data), begin + len(data))
        if not more:
            break
        data += more
    if len(data) != size:
        raise BadRequest(f"{path} is truncated; get a whole copy of it")
    return data
