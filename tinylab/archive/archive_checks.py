"""Whether an unpacked file is what its name promises, as far as anything here will ever read it. Free of torch."""

import json
import math
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from tinylab.config import parse_config
from tinylab.errors import BadRequest
from tinylab.files.tensor_file import read_header
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.about import About
from tinylab.runs.run import Status

__all__ = ["check_file"]

_MOST_PIXELS = 64 * 2**20
_MOST_ARRAYS, _MOST_AXES = 64, 8
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_SUSPICIOUS, _DENSEST = 256 * 2**20, 100  # bytes of arrays from which on it is asked how much smaller they were
_PLAIN = "biufcSU"  # kinds of numbers and text; objects would be pickles


def check_file(path: Path, form: str) -> None:
    """BadRequest, without the path, unless the file is sound.

    Args:
        form: as in `tinylab.archive.layout.Rule`.
    """
    try:
        _CHECKS[form](path)
    except BadRequest as problem:
        raise BadRequest(str(problem).replace(str(path), path.name)) from None
    except (OSError, ValueError, KeyError, TypeError, SyntaxError, EOFError, OverflowError, RecursionError) as error:
        reason = " ".join((str(error) or type(error).__name__).replace(str(path), path.name).split())
        raise BadRequest(f"{path.name} is damaged ({reason[:100]})") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, Image.DecompressionBombError):
        raise BadRequest(f"{path.name} is damaged") from None


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _object(path: Path) -> dict[str, Any]:
    found = _json(path)
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def _about(path: Path) -> None:
    values = _object(path)
    About.of(values.get("name", ""), values.get("notes", ""))


def _text(path: Path) -> None:
    if "\x00" in path.read_text(encoding="utf-8"):
        raise ValueError("it is no text")


def _png(path: Path) -> None:
    """A whole picture that is not too large, looked at without unpacking it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    raise ValueError(f"it has {picture.width} x {picture.height} pixels")
                picture.verify()
        except Image.DecompressionBombWarning:
            raise ValueError("it has too many pixels") from None


def _npz(path: Path) -> None:
    """Arrays of plain numbers or text, each as long as declared; nothing is unpickled, nothing is read whole."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        names = {info.filename for info in infos}
        if len(infos) > _MOST_ARRAYS or len(names) < len(infos):
            raise ValueError("it holds too many arrays")
        total, packed = sum(info.file_size for info in infos), path.stat().st_size
        if total > _SUSPICIOUS and total > _DENSEST * packed:
            raise ValueError(f"it unpacks to {total / 1e6:,.0f} MB")
        for info in infos:
            if not info.filename.endswith(".npy") or info.compress_type not in _METHODS:
                raise ValueError("it holds something else than plain arrays")
            with archive.open(info) as stream:
                version = np.lib.format.read_magic(stream)
                if version not in ((1, 0), (2, 0)):
                    raise ValueError("it is of another version")
                first = version == (1, 0)
                read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(stream)
                if dtype.hasobject or dtype.kind not in _PLAIN or len(shape) > _MOST_AXES:
                    raise ValueError("it holds something else than numbers")
                if math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
                    raise ValueError("it does not hold the arrays that it declares")


def _tensors(path: Path) -> None:
    """A header whose tensors lie one behind the other and fill the file."""
    header = read_header(path)
    spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    ends = [0, *(end for _, end in spans)]
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if [begin for begin, _ in spans] != ends[:-1] or ends[-1] != path.stat().st_size - 8 - length:
        raise ValueError("its tensors do not fill it")


_CHECKS: Mapping[str, Callable[[Path], Any]] = MappingProxyType(
    {
        "config": lambda path: parse_config(path.read_text(encoding="utf-8"), path.name),
        "status": lambda path: Status.of(_object(path)),
        "about": _about,
        "object": _object,
        "json": _json,
        "plan": DepthPlan.load,
        "text": _text,
        "png": _png,
        "npz": _npz,
        "tensors": _tensors,
        "bytes": lambda path: None,  # read by people alone
    }
)
