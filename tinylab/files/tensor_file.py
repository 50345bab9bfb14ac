"""What a safetensors file declares, checked against the size of the file before anything is allocated."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.files.file_cache import FileCache

__all__ = ["check_tensors", "read_header", "read_layout"]

_layouts: FileCache[tuple[dict[str, dict[str, Any]], int]] = FileCache(most=64)
_HEADER_LIMIT = 32 * 2**20  # bytes; a DiT-XL/2 header takes 60 KB
_DTYPE_BYTES = {
    **{"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4},
    **{"F16": 2, "BF16": 2, "I16": 2, "U16": 2},
    **{"I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1},
}


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Names, dtypes, shapes and offsets in a safetensors file, after checking that it can hold what it declares."""
    return read_layout(path)[0]


def read_layout(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """The header, which is shared and must not be changed, and the position from which its offsets count.

    A file that has not changed since is not read again.
    """
    return _layouts.read(path, lambda: _read_layout(path))


def _read_layout(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    try:
        size = path.stat().st_size if path.is_file() else 0  # opening a pipe would wait forever
        if not size and path.exists():
            raise ValueError
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_HEADER_LIMIT, size - 8):
                raise ValueError
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        for entry in header.values():
            _check_entry(entry, size - 8 - length)
    except FileNotFoundError:
        raise BadRequest(f"{path} is not there; get a whole copy of its folder") from None
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError):
        raise BadRequest(f"{path} is truncated or not a safetensors file; get a whole copy of it") from None
    return header, 8 + length


def check_tensors(wanted: Mapping[str, tuple[int, ...]], header: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """BadRequest unless a file declares exactly the tensors `wanted`, shape by name, all in float32."""
    missing, foreign = sorted(wanted.keys() - header.keys()), sorted(header.keys() - wanted.keys())
    if missing or foreign:
        parts = [f"lacks {missing[0]} and {len(missing) - 1} more"] if missing else []
        shown = foreign[0].encode("unicode_escape").decode()[:80] if foreign else ""
        parts += [f"has unknown {shown} and {len(foreign) - 1} more"] if foreign else []
        raise BadRequest(f"{path} does not fit its config: {'; '.join(parts)}")
    for name, shape in wanted.items():
        found, dtype = tuple(header[name]["shape"]), header[name]["dtype"]
        if found != shape:
            raise BadRequest(f"{path} does not fit its config: {name} is {found}, should be {shape}")
        if dtype != "F32":
            raise BadRequest(f"{path}: {name} is {dtype}, should be F32; convert the weights to float32")


def _check_entry(entry: dict[str, Any], size: int) -> None:
    begin, end = entry["data_offsets"]
    for number in (begin, end, *entry["shape"]):
        if type(number) is not int or number < 0:
            raise ValueError
    if not begin <= end <= size or end - begin != math.prod(entry["shape"]) * _DTYPE_BYTES[entry["dtype"]]:
        raise ValueError
