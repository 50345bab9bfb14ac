"""Comparing what was recomputed with what a golden file says, one row a quantity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.verify import KINDS, kind_of
from tinylab.verify.golden import read_golden

__all__ = ["Row", "tolerance", "verify_file"]

_FORWARD, _LONG = 1e-5, 1e-4  # relative errors: of a forward or a loss; of a gradient or a whole sampling run


@dataclass(frozen=True)
class Row:
    """One quantity of a file: ‖found - golden‖ / ‖golden‖ and how large it may be."""

    file: str
    quantity: str
    error: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """True if the error is a number within the tolerance."""
        return self.error <= self.tolerance


def verify_file(path: Path) -> list[Row]:
    """Recompute every output of a golden file; BadRequest if the file is unknown or damaged."""
    golden = read_golden(path)
    recompute = KINDS.get(kind_of(golden.dtypes, path))
    try:
        found: dict[str, Tensor] = recompute(golden)
    except BadRequest:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise BadRequest(f"{path}: its tensors do not fit together ({reason}); get a whole copy of it") from None
    rows = []
    for name, expected in golden.part("output").items():
        if name not in found:
            raise golden.unknown(name)
        rows.append(Row(str(path), name, _relative_error(found[name], expected), tolerance(name)))
    return rows


def tolerance(quantity: str) -> float:
    """The largest relative error of a quantity, in float32."""
    return _LONG if quantity.startswith(("grad.", "sample_")) else _FORWARD


def _relative_error(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return math.inf
    gap, size = (found - expected).norm().item(), expected.norm().item()
    error = gap / size if size else gap
    return error if math.isfinite(error) else math.inf
