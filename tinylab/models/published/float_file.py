"""Writing tensors as float32 safetensors one at a time, so that a big checkpoint is never in memory twice."""

import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tinylab.errors import BadRequest

__all__ = ["write_float32"]

_CHUNK = 2**24  # numbers at a time


def write_float32(
    shapes: Mapping[str, tuple[int, ...]], fetch: Callable[[str], Tensor], path: Path, source: Path
) -> None:
    """Write the tensors that `fetch` gives by name, widened or narrowed to float32, to the new file `path`.

    Raises:
        BadRequest: a value is not a number, or too large for float32; `source` is named in it.
    """
    header: dict[str, dict[str, object]] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in shapes:
            for part in fetch(name).detach().reshape(-1).split(_CHUNK):
                values = part.to(torch.float32).contiguous()
                if not torch.isfinite(values).all():
                    raise BadRequest(
                        f"{source} holds values in {name} that are not numbers or too large for float32; "
                        "the training that made it diverged, so take an earlier checkpoint"
                    )
                file.write(memoryview(values.numpy()))
