"""Pictures in a folder, with or without a folder for each class in it, as one array."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tinylab.data.pictures import PICTURE_ENDINGS, PICTURE_FORMATS, BrokenPicture, PictureFolder, read_picture
from tinylab.errors import BadRequest

__all__ = ["read_folder"]

_MOST_BYTES = 16 * 2**30  # 50,000 pictures of 256 x 256 take 10 GB
_AT_ONCE = 256


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Pictures uint8 (N, S, S, 3) and their classes (N,), None where they lie in the folder itself.

    S is the shorter side of the first picture; all others are cropped to it (see `center_crop`), which leaves squares
    of this size as they are.

    Raises:
        BadRequest: no pictures, a broken one, or more than fit into 16 GiB.
    """
    flat = sorted(p for p in folder.iterdir() if _is_picture(p))
    if flat:
        size = _side(flat[0])
        return _stack((read_picture(path, size) for path in flat), len(flat), size, folder), None
    pictures = PictureFolder(folder)
    size = _side(min(p for p in folder.rglob("*") if _is_picture(p)))
    starts = range(0, len(pictures), _AT_ONCE)
    read = (each for at in starts for each in pictures.read(range(at, min(at + _AT_ONCE, len(pictures))), size))
    return _stack(read, len(pictures), size, folder), pictures.labels


def _stack(pictures: Iterator[np.ndarray | BrokenPicture], count: int, size: int, folder: Path) -> np.ndarray:
    if count * size * size * 3 > _MOST_BYTES:
        raise BadRequest(f"{folder} holds more than {_MOST_BYTES // 2**30} GiB of pixels; give fewer pictures")
    found = np.empty((count, size, size, 3), np.uint8)
    for row, pixels in enumerate(pictures):
        if isinstance(pixels, BrokenPicture):
            raise pixels
        found[row] = pixels
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith(".") and path.is_file()


def _side(path: Path) -> int:
    """The shorter side of a picture, whose header alone is read."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=PICTURE_FORMATS) as image:
            return min(image.size)
    except Exception as error:  # decoders raise whatever they like at damaged data
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BrokenPicture(f"{path} is a broken picture ({reason}); mend it or take it away") from None
