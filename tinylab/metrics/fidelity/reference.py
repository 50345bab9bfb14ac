"""Real pictures that samples are compared with, and their features, kept on the disk."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tinylab.data.catalog import DIGITS
from tinylab.data.digits import load_digits
from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.tensor_file import read_header
from tinylab.metrics.fidelity.arrays import read_folder, read_pictures, read_statistics
from tinylab.metrics.fidelity.extractors import Extractor
from tinylab.metrics.fidelity.features import Features, Statistics
from tinylab.metrics.fidelity.resampling import halves
from tinylab.metrics.fidelity.scores import Score, fewest_pictures, score
from tinylab.paths import exists
from tinylab.sampling.images import to_uint8

__all__ = [
    "Reference",
    "cache_folder",
    "floor",
    "load_features",
    "open_reference",
    "reference_features",
    "save_features",
]


def floor(
    features: Features, labels: Tensor | None, metrics: Sequence[str], *, resamples: int = 0, seed: int = 0
) -> tuple[tuple[int, int], dict[str, Score]]:
    """Sizes of two halves of the real pictures without a picture in common, and the scores of the first against the
    second; for scores that only look at samples, those of the first.

    Biased scores grow as sets shrink, and halves are half as large as the reference: the floor of a biased score lies
    a little too high, and KID can lie a little below 0, because halves with as many of each class are more alike than
    independent draws. Accuracy is left out where `labels` (N,) are not known, and so is what needs more pictures than
    there are.
    """
    labels = None if labels is None else torch.as_tensor(labels)
    first, second = halves(len(features), labels, torch.Generator().manual_seed(seed))
    wanted = [
        name for name in metrics if len(second) >= fewest_pictures(name) and (name != "accuracy" or labels is not None)
    ]
    classes = None if labels is None else labels[first]
    found = score(
        wanted, features[first], features[second], labels=classes, strata=classes, resamples=resamples, seed=seed
    )
    return (len(first), len(second)), found


@dataclass(frozen=True)
class Reference:
    """A set of pictures.

    Attributes:
        name: as it was asked for.
        pixels: uint8 (N, H, W, C), C 1 or 3; N is 0 where there are only statistics.
        labels: classes (N,), None where they are not known.
        hash: 12 hex digits that change with any pixel, class or statistic.
        statistics: of Inception features, where the file brings them (ADM's reference batches do).
    """

    name: str
    pixels: np.ndarray
    labels: np.ndarray | None
    hash: str
    statistics: Statistics | None = None

    def __len__(self) -> int:
        return len(self.pixels)


def open_reference(name: str) -> Reference:
    """The pictures meant by `digits` (all 1,797, in both splits), an npz file or a folder of pictures.

    An npz holds `images` and `labels`, or `arr_0` and `arr_1` as ADM writes them; classes may be missing. Samples that
    are to be scored are read in the same way.

    Raises:
        BadRequest: nothing there, damaged, or not pictures.
    """
    if name == DIGITS:
        parts = load_digits()
        pixels = to_uint8(torch.cat([part.images for part in parts]))
        return _reference(name, pixels, torch.cat([part.labels for part in parts]).numpy())
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # a home folder of nobody
        path = Path(name)
    if not name or not exists(path):
        raise BadRequest(f"unknown reference {name!r}; give digits, an npz file or a folder of pictures")
    if path.is_dir():
        return _reference(name, *read_folder(path))
    pictures, statistics = read_pictures(path), read_statistics(path)
    if pictures is None and statistics is None:
        raise BadRequest(f"{path} holds neither pictures (images or arr_0) nor statistics (mu and sigma)")
    pixels, labels = pictures or (np.empty((0, 1, 1, 3), np.uint8), None)
    return _reference(name, pixels, labels, statistics)


def reference_features(
    reference: Reference,
    extractor: Extractor,
    *,
    cache: Path | None = None,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Features of the reference, read from the disk where this network has seen these pictures before.

    Where the reference brings statistics of Inception features and `extractor` is Inception, FID and sFID are measured
    from them, as ADM's evaluation does.

    Args:
        cache: folder of kept features; default: $TINYLAB_CACHE or ~/.cache/tinylab/features. One that cannot be
            written is no error.

    Raises:
        BadRequest: statistics alone, for another network; pictures that the network does not take.
    """
    statistics = reference.statistics if extractor.name == "inception-v3" else None
    if not len(reference):
        if statistics is None:
            raise BadRequest(f"{reference.name} holds statistics of inception-v3 alone; take --extractor inception-v3")
        return Features(torch.empty(0, len(statistics.pooled.mean)), statistics=statistics)
    folder = cache or cache_folder()
    file = folder / f"{reference.hash}-{extractor.name}-{extractor.hash}.safetensors" if folder else None
    found = load_features(file, len(reference), extractor) if file else None
    if found is None:
        found = extractor.features(reference.pixels, batch_size=batch_size, progress=progress)
        if file:
            save_features(file, found)
    return replace(found, statistics=statistics)


def _reference(
    name: str, pixels: np.ndarray, labels: np.ndarray | None, statistics: Statistics | None = None
) -> Reference:
    moments = [m for m in (statistics.pooled, statistics.spatial) if m] if statistics else []
    arrays = [pixels, labels, *(array for m in moments for array in (m.mean, m.covariance))]
    found = hashlib.sha256()
    for array in arrays:
        if array is not None:
            found.update(f"{array.dtype} {array.shape} ".encode())
            found.update(np.ascontiguousarray(array).data)
    return Reference(name, pixels, labels, found.hexdigest()[:12], statistics)


_PARTS = ("pooled", "logits", "spatial")


def cache_folder() -> Path | None:
    """$TINYLAB_CACHE or ~/.cache/tinylab/features; None for a user without a home."""
    given = os.environ.get("TINYLAB_CACHE")
    if given:
        return Path(given).absolute()
    try:
        return Path.home() / ".cache" / "tinylab" / "features"
    except RuntimeError:
        return None


def load_features(file: Path, count: int, extractor: Extractor) -> Features | None:
    """The features of `count` pictures in a file of `save_features`; None if it is not there, damaged or another's."""
    wanted = {part for part, layer in zip(_PARTS, extractor.network.layers, strict=True) if layer}
    try:
        header = read_header(file)
        if header.keys() != wanted or not all(_fits(entry, count) for entry in header.values()):
            return None
        with safe_open(file, "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
            noted = (opened.metadata() or {}).get("sha256")
    except (BadRequest, SafetensorError, OSError):
        return None
    return Features(**tensors) if noted == _digest(tensors) else None


def save_features(file: Path, features: Features) -> None:
    """Keep features whole or, where the folder cannot be written, not at all."""
    parts = {name: getattr(features, name) for name in _PARTS}
    tensors = {name: tensor.contiguous() for name, tensor in parts.items() if tensor is not None}
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(file, save(tensors, metadata={"sha256": _digest(tensors)}))


def _fits(entry: Mapping[str, Any], count: int) -> bool:
    return entry["dtype"] == "F32" and len(entry["shape"]) == 2 and entry["shape"][0] == count


def _digest(tensors: dict[str, Tensor]) -> str:
    """A sum over the values: a flipped bit would load without an error."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(f"{name} {tuple(tensors[name].shape)} ".encode())
        found.update(tensors[name].numpy().data)
    return found.hexdigest()
