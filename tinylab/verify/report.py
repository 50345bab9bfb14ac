"""Comparing what was recomputed with what a golden file holds, one row a quantity."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.verify.families import recompute_dit, recompute_mar, recompute_sit
from tinylab.verify.golden import Golden, read_golden
from tinylab.verify.tinyfusion import recompute_gates, recompute_masked_kd

__all__ = ["KINDS", "Row", "kind_of", "tolerance", "verify_file"]

KINDS: Mapping[str, Callable[[Golden], dict[str, Tensor]]] = {
    "dit": recompute_dit,
    "sit": recompute_sit,
    "mar": recompute_mar,
    "gates": recompute_gates,
    "masked_kd": recompute_masked_kd,
}
# What only files of a kind hold: (test, kind), tried in turn. `names` are those of the tensors, with their dtypes.
_SIGNS: tuple[tuple[Callable[[Mapping[str, str]], bool], str], ...] = (
    (lambda names: any(name.startswith("teacher.") for name in names), "masked_kd"),
    (lambda names: any(name.startswith("input.gumbel.") for name in names), "gates"),
    (lambda names: any(name.startswith("model.encoder_blocks.") for name in names), "mar"),
    (lambda names: "model.x_embedder.proj.weight" in names and names.get("input.t", "").startswith("F"), "sit"),
    (lambda names: "model.x_embedder.proj.weight" in names, "dit"),
)
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
    recompute = KINDS[kind_of(golden.dtypes, path)]
    try:
        found = recompute(golden)
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


def kind_of(dtypes: Mapping[str, str], source: object) -> str:
    """The kind of a golden file, from the names and dtypes of its tensors; BadRequest if it is none that is known."""
    for test, kind in _SIGNS:
        if test(dtypes):
            return kind
    raise BadRequest(f"{source} is no golden file of a known kind ({', '.join(KINDS)})")


def tolerance(quantity: str) -> float:
    """The largest relative error of a quantity, in float32."""
    return _LONG if quantity.startswith(("grad.", "sample_")) else _FORWARD


def _relative_error(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return math.inf
    gap, size = (found - expected).norm().item(), expected.norm().item()
    error = gap / size if size else gap
    return error if math.isfinite(error) else math.inf
