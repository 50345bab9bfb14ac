"""What a safetensors file declares, checked against the size of the file before anything is allocated."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest

__all__ = ["read_header", "read_layout"]

_HEADER_LIMIT = 32 * 2**20  # bytes; a DiT-XL/2 header takes 60 KB
_DTYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """Names, dtypes, shapes and offsets in a safetensors file, after checking that it can hold what it declares."""
    return read_layout(path)[0]


def read_layout(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """The header, and the position in the file from which its offsets count."""
    try:
        size = path.stat().st_size
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


def _check_entry(entry: dict[str, Any], room: int) -> None:
    begin, end = entry["data_offsets"]
    for number in (begin, end, *entry["shape"]):
        if type(number) is not int or number < 0:
            raise ValueError
    if not begin <= end <= room or end - begin != math.prod(entry["shape"]) * _DTYPE_BYTES[entry["dtype"]]:
        raise ValueError
