"""The table of contents of a folder of encoded pictures, as `tinylab encode` writes it. Free of torch.

latents/index.json                    what is in the folder, with a checksum for every shard
latents/shard-00000.safetensors       `latents` (n, C, H, W), `flipped` of the same shape where there are flips,
                                      `labels` (n,) int64
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.json_file import read_object

__all__ = ["INDEX_FILE", "LatentIndex", "Shard", "read_index", "shard_name", "write_index"]

INDEX_FILE = "index.json"
_FORMAT = "tinylab-latents-1"
_INDEX_LIMIT = 64 * 2**20  # bytes; a thousand classes and ten thousand shards take two megabytes
_MOST = {"count": 10**9, "side": 2**14, "channels": 2**12, "classes": 10**5}


@dataclass(frozen=True)
class Shard:
    """One file of latents: its name, rows, size in bytes, and pictures that could not be read."""

    file: str
    count: int
    size: int
    sha256: str
    skipped: int = 0


@dataclass(frozen=True)
class LatentIndex:
    """What a folder of latents says of itself.

    Attributes:
        shape: of one latent, (C, H, W).
        dtype: float16 or float32.
        flips: whether every picture was encoded mirrored, too.
        posterior: `mean`, or one fixed `sample` of each picture.
        scaling_factor, shift_factor: latents are (z - shift) · scaling, z being what the autoencoder gave.
        vae: name and sha256 of the autoencoder's weights.
        source: name, number and fingerprint of the pictures, and how many were skipped.
    """

    shape: tuple[int, int, int]
    dtype: str
    flips: bool
    posterior: str
    scaling_factor: float
    shift_factor: float | None
    class_names: tuple[str, ...]
    vae: dict[str, Any]
    source: dict[str, Any]
    shards: tuple[Shard, ...]

    @property
    def count(self) -> int:
        """Number of pictures."""
        return sum(shard.count for shard in self.shards)


def shard_name(number: int) -> str:
    """File name of the shard with this number, from 0."""
    return f"shard-{number:05d}.safetensors"


def write_index(folder: Path, index: LatentIndex) -> None:
    """Write `index.json`, which makes the folder readable; call it last."""
    values = {"format": _FORMAT, "count": index.count, **asdict(index)}
    atomic.write_text(folder / INDEX_FILE, json.dumps(values, indent=1) + "\n")


def read_index(folder: Path) -> LatentIndex:
    """Read and check `index.json`; the shards themselves are not opened."""
    path = folder / INDEX_FILE
    try:
        values: Any = read_object(path, _INDEX_LIMIT)
        if values.pop("format") != _FORMAT:
            raise BadRequest(f"{path} is of another version of Tinylab; encode the pictures again")
        count = values.pop("count")
        shards = tuple(Shard(**shard) for shard in values.pop("shards"))
        names, shape = values.pop("class_names"), values.pop("shape")
        index = LatentIndex(shape=tuple(shape), class_names=tuple(names), shards=shards, **values)
        if not _possible(index) or type(count) is not int or count != index.count:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, BadRequest):
            raise
        raise BadRequest(f"{path} is damaged or no index of latents; get a whole copy of the folder") from None
    if not index.count:
        raise BadRequest(f"{folder} holds no latents; encode some pictures")
    return index


def _possible(index: LatentIndex) -> bool:
    """Whether all values are of the right kind and of a size that can be."""
    sizes = [*index.shape, *(n for shard in index.shards for n in (shard.count, shard.size, shard.skipped))]
    if len(index.shape) != 3 or any(type(n) is not int or n < 0 for n in sizes) or min(index.shape) < 1:
        return False
    named = all(isinstance(name, str) for name in index.class_names)
    numbered = all(re.fullmatch(r"shard-\d{5,9}\.safetensors", shard.file) for shard in index.shards)
    bounded = index.count <= _MOST["count"] and max(index.shape[1:]) <= _MOST["side"]
    scaled = _is_number(index.scaling_factor) and (index.shift_factor is None or _is_number(index.shift_factor))
    return (
        named
        and numbered
        and bounded
        and scaled
        and 1 <= len(index.class_names) <= _MOST["classes"]
        and index.shape[0] <= _MOST["channels"]
        and index.dtype in ("float16", "float32")
        and type(index.flips) is bool
        and isinstance(index.vae, dict)
        and isinstance(index.source, dict)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9  # NaN fails, too
