"""Features kept on the disk, one safetensors file for each pair of pictures and network."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.tensor_file import read_header
from tinylab.metrics.fidelity.extractors import Extractor
from tinylab.metrics.fidelity.features import Features

__all__ = ["cache_folder", "load_features", "save_features"]

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
