"""Pictures in one npz file: `images` uint8 (N, H, W, C) and `labels` (N,). Read as a stream, never as a whole."""

import hashlib
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from tinylab.data.classes import numbered_names
from tinylab.data.crop import MOST_PIXELS, BrokenPicture, cropped
from tinylab.errors import BadRequest

__all__ = ["PictureFile"]

_MOST_CLASSES, _MOST_PICTURES = 100_000, 20_000_000
_DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, SyntaxError)


class PictureFile:
    """The pictures of an npz; going forward costs no more than reading, whether it is compressed or not."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self._stream: IO[bytes] | None = None
        self._next = 0
        if not path.is_file():
            raise BadRequest(f"{path} is not there; give a folder of pictures or an npz with images and labels")
        try:
            self._zip = zipfile.ZipFile(path)
            self._shape = self._header("images", self._zip.open("images.npy"), "u1", 4)
            with self._zip.open("labels.npy") as stream:
                (count,) = self._header("labels", stream, None, 1)
                if count != self._shape[0]:
                    raise BadRequest(f"{path} holds {self._shape[0]} images but {count} labels")
                data = stream.read()
                self.labels = np.frombuffer(data, dtype=self._label_type).astype(np.int64)
        except BadRequest:
            raise
        except _DAMAGE:
            raise BadRequest(f"{path} is damaged or no npz with images and labels; get a whole copy of it") from None
        if not 0 <= self.labels.min() <= self.labels.max() < _MOST_CLASSES:
            raise BadRequest(f"{path}: labels must lie between 0 and {_MOST_CLASSES - 1}")
        self.class_names = numbered_names(int(self.labels.max()) + 1)
        self.fingerprint = hashlib.sha256(f"{self._shape} {path.stat().st_size} ".encode() + data).hexdigest()

    def __len__(self) -> int:
        return self._shape[0]

    def read(self, rows: range, size: int) -> Sequence[np.ndarray | BrokenPicture]:
        """Squares of these pictures, in order."""
        try:
            return [self._read_one(row, size) for row in rows]
        except BadRequest:
            raise
        except _DAMAGE:
            raise BadRequest(f"{self.path} is damaged after picture {self._next}; get a whole copy of it") from None

    def _read_one(self, row: int, size: int) -> np.ndarray | BrokenPicture:
        length = math.prod(self._shape[1:])
        if self._stream is None or row < self._next:
            self._stream, self._next = self._zip.open("images.npy"), 0
            self._header("images", self._stream, "u1", 4)
        while self._next < row:
            self._next += 1
            self._take(length)
        data = self._take(length)
        self._next = row + 1
        pixels = np.frombuffer(data, dtype=np.uint8).reshape(self._shape[1:])
        try:
            return cropped(Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels), size, self.path)
        except BrokenPicture as broken:
            return broken

    def _take(self, length: int) -> bytes:
        assert self._stream is not None
        data = self._stream.read(length)
        if len(data) != length:
            raise EOFError
        return data

    def _header(self, name: str, stream: IO[bytes], dtype: str | None, axes: int) -> tuple[int, ...]:
        """The shape that an array declares, checked before anything of it is read."""
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, found = reader(stream)
        right = found == np.dtype(dtype) if dtype else found.kind in "iu"
        wanted = "uint8 (N, H, W, C)" if dtype else "whole numbers (N,)"
        if not right or len(shape) != axes or by_column and axes > 1:
            raise BadRequest(f"{self.path}: {name} are {found} {shape}, should be {wanted} in C order")
        declared = self._zip.getinfo(f"{name}.npy").file_size - stream.tell()
        if min(shape) < 1 or shape[0] > _MOST_PICTURES or math.prod(shape) * found.itemsize != declared:
            raise BadRequest(f"{self.path}: {name} declare a shape of {shape} that the file does not hold")
        if axes == 4 and (shape[3] not in (1, 3) or shape[1] * shape[2] > MOST_PIXELS):
            raise BadRequest(f"{self.path}: images of {shape[1]} x {shape[2]} pixels with {shape[3]} channels; 1 or 3")
        if not dtype:
            self._label_type = found
        return tuple(shape)
