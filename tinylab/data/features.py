"""Latents as fast-DiT and TinyFusion publish them: `NAME_features/0.npy …` beside `NAME_labels/0.npy …`. No torch.

A feature file holds one latent (1, C, H, W), or several views of one picture (k, C, H, W) such as it and its mirror
image. Nothing is unpickled: headers are read by numpy's own parser and arrays are mapped, not loaded.
"""

import os
from pathlib import Path

import numpy as np

from tinylab.data.classes import IMAGENET_NAMES, numbered_names
from tinylab.errors import BadRequest

__all__ = ["FeatureFolder", "find_features"]

_FEATURES, _LABELS = "_features", "_labels"
_MOST_CLASSES, _MOST_VALUES = 100_000, 2**26


def find_features(folder: Path) -> Path | None:
    """The `NAME_features` folder that is meant: `folder` itself, or the one in it. None if there is none."""
    if folder.name.endswith(_FEATURES) and folder.is_dir():
        return folder
    inside = sorted(p for p in folder.glob(f"*{_FEATURES}") if p.is_dir()) if folder.is_dir() else []
    if len(inside) > 1:
        names = ", ".join(p.name for p in inside[:5])
        raise BadRequest(f"{folder} holds several feature folders ({names}); name one of them")
    return inside[0] if inside else None


class FeatureFolder:
    """All pictures of a pair of folders, ordered by number; `views` is how many latents each has.

    `NAME` beginning with "imagenet" means a thousand classes. Otherwise every label is read once to count them.
    """

    def __init__(self, features: Path) -> None:
        name = features.name.removesuffix(_FEATURES)
        self.features, self.labels_folder = features, features.with_name(name + _LABELS)
        self._names = np.array(_paired_names(features, self.labels_folder))
        self.views, self.shape = self._first_shape()
        self._all_labels: np.ndarray | None = None
        self._classes = len(IMAGENET_NAMES) if name.casefold().startswith("imagenet") else _MOST_CLASSES
        self.class_names = (
            IMAGENET_NAMES if self._classes == len(IMAGENET_NAMES) else numbered_names(int(self.labels.max()) + 1)
        )

    def __len__(self) -> int:
        return len(self._names)

    @property
    def labels(self) -> np.ndarray:
        """Classes (N,) int64. The first use reads every label file."""
        if self._all_labels is None:
            self._all_labels = np.array([self._label(name) for name in self._names], dtype=np.int64)
        return self._all_labels

    def read(self, rows: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Latents (n, C, H, W) float32 and classes (n,) int64 of these rows (n,), of the given view each (n,)."""
        found = np.empty((len(rows), *self.shape), dtype=np.float32)
        classes = np.empty(len(rows), dtype=np.int64)
        for at, (row, view) in enumerate(zip(rows, views, strict=True)):
            name = self._names[row]
            array = self._feature(name)
            if array.shape != (self.views, *self.shape):
                wanted = (self.views, *self.shape)
                raise BadRequest(f"{self.features / name} has shape {array.shape}, the first file {wanted}; repair it")
            found[at] = array[view]
            if not np.isfinite(found[at]).all():
                raise BadRequest(f"{self.features / name} holds values that are not numbers; encode its picture again")
            classes[at] = self._label(name)
        return found, classes

    def _first_shape(self) -> tuple[int, tuple[int, int, int]]:
        array = self._feature(self._names[0])
        if array.ndim != 4 or not 0 < array.size <= _MOST_VALUES:
            raise BadRequest(f"{self.features / self._names[0]} has shape {array.shape}; (views, C, H, W) is needed")
        views, channels, height, width = array.shape
        return views, (channels, height, width)

    def _feature(self, name: str) -> np.ndarray:
        path = self.features / name
        array = _mapped(path)
        if array.dtype.kind != "f":
            raise BadRequest(f"{path} holds {array.dtype}, not floating-point numbers; it is no feature file")
        return array

    def _label(self, name: str) -> int:
        path = self.labels_folder / name
        array = _mapped(path)
        if array.size != 1 or array.dtype.kind not in "iu":
            raise BadRequest(f"{path} holds {array.dtype} of shape {array.shape}, not one whole number")
        label = int(array.reshape(()))
        if not 0 <= label < self._classes:
            raise BadRequest(f"{path} names class {label}; the classes are 0 to {self._classes - 1}")
        return label


def _paired_names(features: Path, labels: Path) -> list[str]:
    """Names of the files that both folders hold, numbers in order; BadRequest unless they hold the same."""
    if not labels.is_dir():
        raise BadRequest(f"{features} needs {labels.name} beside it; get both folders")
    names, others = _npy_names(features), _npy_names(labels)
    if not names:
        raise BadRequest(f"{features} holds no .npy files; encode some pictures")
    if len(names) != len(others):
        raise BadRequest(f"{features.name} holds {len(names)} files, {labels.name} {len(others)}; get both whole")
    if lonely := names - others:
        raise BadRequest(f"{features / min(lonely)} has no label of the same name in {labels.name}; get both whole")
    return sorted(names, key=lambda name: (int(name[:-4]) if name[:-4].isdecimal() else 10**18, name))


def _npy_names(folder: Path) -> set[str]:
    with os.scandir(folder) as entries:
        return {e.name for e in entries if e.name.endswith(".npy") and not e.name.startswith(".") and e.is_file()}


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as error:
        raise BadRequest(f"{path} cannot be read ({error.strerror or error}); get a whole copy of it") from None
    except (ValueError, TypeError, KeyError, SyntaxError, OverflowError, RecursionError, EOFError) as error:
        reason = "holds Python objects, which are never loaded" if "Python objects" in str(error) else "is damaged"
        raise BadRequest(f"{path} {reason}; get a whole copy of it") from None
