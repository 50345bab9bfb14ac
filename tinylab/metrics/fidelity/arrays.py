"""Pictures, and statistics of pictures, in npz files; every array is checked before it is read."""

import math
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tinylab.data.crop import BrokenPicture
from tinylab.data.pictures import PICTURE_ENDINGS, PICTURE_FORMATS, PictureFolder, read_picture
from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.features import Moments, Statistics

__all__ = ["read_folder", "read_pictures", "read_statistics"]

_MOST_BYTES = 16 * 2**30  # 50,000 pictures of 256 x 256 take 10 GB
_DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, RuntimeError, SyntaxError)
_NAMES = (("images", "labels"), ("arr_0", "arr_1"))  # ours, and the batches of ADM
_POOLED, _SPATIAL = 2048, 2023  # of Inception v3


def read_pictures(path: Path) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Pictures uint8 (N, H, W, C), C 1 or 3, and their classes (N,) if it has them; None if it holds no pictures.

    Raises:
        BadRequest: no npz, damaged, or arrays of another kind.
    """
    held = _arrays(path)
    for images, labels in _NAMES:
        if images not in held:
            continue
        shape, dtype = held[images]
        if dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3) or not math.prod(shape):
            raise BadRequest(f"{path}: {images} are {dtype} {shape}, should be uint8 (N, H, W, C), C 1 or 3")
        if labels not in held:
            return _read(path, images), None
        numbers, kind = held[labels]
        if kind.kind not in "iu" or numbers != shape[:1]:
            raise BadRequest(f"{path}: {labels} are {kind} {numbers}, should be whole numbers ({shape[0]},)")
        return _read(path, images), _read(path, labels).astype(np.int64)
    return None


def read_statistics(path: Path) -> Statistics | None:
    """Moments of Inception features, as ADM publishes them: `mu` and `sigma`, `mu_s` and `sigma_s`; None without them.

    Raises:
        BadRequest: no npz, damaged, or no moments of 2,048 pooled and 2,023 spatial features.
    """
    held = _arrays(path)
    if not {"mu", "sigma"} <= held.keys():
        return None
    spatial = _moments(path, "mu_s", "sigma_s", _SPATIAL, held) if {"mu_s", "sigma_s"} <= held.keys() else None
    return Statistics(_moments(path, "mu", "sigma", _POOLED, held), spatial)


def _moments(path: Path, mean: str, covariance: str, width: int, held: dict) -> Moments:
    for name, shape in ((mean, (width,)), (covariance, (width, width))):
        found, dtype = held[name]
        if found != shape or dtype.kind != "f":
            raise BadRequest(f"{path}: {name} is {dtype} {found}, should be numbers {shape} of Inception v3")
    found = Moments(_read(path, mean).astype(np.float64), _read(path, covariance).astype(np.float64))
    if not np.isfinite(found.mean).all() or not np.isfinite(found.covariance).all():
        raise BadRequest(f"{path}: {mean} or {covariance} holds values that are not numbers; get a whole copy of it")
    if not np.allclose(found.covariance, found.covariance.T) or (np.diagonal(found.covariance) < 0).any():
        raise BadRequest(f"{path}: {covariance} is no covariance; get a whole copy of it")
    return found


def _arrays(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of each array, as declared and as large as the file says that it is."""
    if not path.is_file():
        raise BadRequest(f"{path} is not there; give digits, an npz file or a folder of pictures")
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    continue
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    reader = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = reader(stream)
                    size = math.prod(shape) * dtype.itemsize
                    if not dtype.hasobject and size != member.file_size - stream.tell():
                        raise ValueError
                    if size > _MOST_BYTES:
                        raise BadRequest(f"{path} holds more than {_MOST_BYTES // 2**30} GiB; give fewer pictures")
                found[member.filename.removesuffix(".npy")] = (shape, dtype)
    except BadRequest:
        raise
    except _DAMAGE:
        raise BadRequest(f"{path} is damaged or no npz of pictures; get a whole copy of it") from None
    return found


def _read(path: Path, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except _DAMAGE:
        raise BadRequest(f"{path} is damaged in {name}; get a whole copy of it") from None


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
        raise BrokenPicture(f"{path} is a broken picture ({reason}); repair it or take it away") from None
