"""Folders of pictures, one folder a class, read as uint8 squares. Pictures of strangers: nothing is taken on trust."""

import hashlib
import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from tinylab.data.classes import IMAGENET_NAMES
from tinylab.data.crop import MOST_PIXELS, BrokenPicture, cropped
from tinylab.errors import BadRequest

__all__ = [
    "PICTURE_ENDINGS",
    "PICTURE_FORMATS",
    "PictureFolder",
    "Pictures",
    "check_pictures",
    "open_pictures",
    "read_picture",
]

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM")  # by content, not by name; no format that starts other programs
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm")
_MOST_CLASSES = 100_000


class Pictures(Protocol):
    """Pictures with classes, read in order.

    Attributes:
        name: of the folder or file.
        class_names: by id.
        labels: classes (N,) int64.
        fingerprint: changes when pictures are added, removed or renamed.
    """

    name: str
    class_names: tuple[str, ...]
    labels: np.ndarray
    fingerprint: str

    def __len__(self) -> int: ...

    def read(self, rows: range, size: int) -> Sequence[np.ndarray | BrokenPicture]:
        """Squares uint8 (size, size, 3) of these pictures, or what is wrong with one."""
        ...


def open_pictures(path: Path, workers: int = 1) -> Pictures:
    """The pictures in a folder (one folder a class) or an npz file, after looking through all names."""
    if path.suffix == ".npz":
        from tinylab.data.picture_file import PictureFile

        return PictureFile(path)
    return PictureFolder(path, workers)


def check_pictures(path: Path) -> None:
    """BadRequest unless there seem to be pictures; quick even where there are a million."""
    if path.suffix == ".npz":
        open_pictures(path)
    else:
        first = _class_folders(path)[0]
        if next(_walk(first), None) is None:
            raise _no_pictures(first)


class PictureFolder:
    """One folder a class: sorted names become ids 0, 1, …; `workers` pictures are decoded at once."""

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.folder, self.name, self._workers = folder, folder.absolute().name, workers
        folders = _class_folders(folder)
        self.class_names = _readable([f.name for f in folders])
        self._files: list[str] = []
        counts = []
        for class_folder in folders:
            files = sorted(_walk(class_folder))
            if not files:
                raise _no_pictures(class_folder)
            self._files += [os.path.relpath(file, folder) for file in files]
            counts.append(len(files))
        self.labels = np.repeat(np.arange(len(folders), dtype=np.int64), counts)
        self.fingerprint = hashlib.sha256("\n".join(self._files).encode(errors="surrogateescape")).hexdigest()

    def __len__(self) -> int:
        return len(self._files)

    def read(self, rows: range, size: int) -> Sequence[np.ndarray | BrokenPicture]:
        """Squares of these pictures, or what is wrong with one, in order."""
        with ThreadPoolExecutor(self._workers) as pool, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's warnings; what cannot be read is refused, the rest is fine
            return list(pool.map(lambda row: read_picture(self.folder / self._files[row], size), rows))


def read_picture(path: Path, size: int) -> np.ndarray | BrokenPicture:
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            return cropped(image, size, path)
    except BrokenPicture as broken:
        return broken
    except Image.DecompressionBombError:
        return BrokenPicture(f"{path} has more than {MOST_PIXELS:,} pixels; shrink it")
    except Image.UnidentifiedImageError:
        return BrokenPicture(f"{path} is no picture; {', '.join(PICTURE_FORMATS)} are read")
    except Exception as error:  # decoders raise whatever they like at damaged data
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return BrokenPicture(f"{path} is a broken picture ({reason})")


def _class_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadRequest(f"{folder} is no folder; give one that holds a folder of pictures for each class, or an npz")
    found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not found:
        raise BadRequest(f"{folder} holds no folders; put the pictures of each class into a folder of its own")
    if len(found) > _MOST_CLASSES:
        raise BadRequest(f"{folder} holds {len(found)} folders, more than {_MOST_CLASSES:,}; it is not sorted by class")
    return found


def _walk(folder: Path):
    """Files with the ending of a picture, also in deeper folders; links to folders are not followed."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (
            os.path.join(place, f) for f in files if f.lower().endswith(PICTURE_ENDINGS) and not f.startswith(".")
        )


def _no_pictures(folder: Path) -> BadRequest:
    return BadRequest(
        f"{folder} holds no pictures ({', '.join(PICTURE_ENDINGS)}); fill it, or delete it if it is no class"
    )


def _readable(folders: list[str]) -> tuple[str, ...]:
    """ImageNet's names for the thousand WordNet folders of ImageNet, else the names of the folders."""
    synsets = len(folders) == len(IMAGENET_NAMES) and all(re.fullmatch(r"n\d{8}", name) for name in folders)
    if synsets and (folders[0], folders[-1]) == ("n01440764", "n15075141"):
        return IMAGENET_NAMES
    return tuple(name.encode(errors="replace").decode() for name in folders)
