"""Reading what a run has stored, which a stranger may have written: checked values, thinned curves."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinylab.errors import BadRequest
from tinylab.models.families import in_order
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import Run

__all__ = ["Points", "as_result", "keep_columns", "number", "scalar_curves", "searched_depth", "thinned"]

Points = list[tuple[int, float]]

_STACK = re.compile(r"[A-Za-z_][\w.]{0,63}", re.ASCII)  # as attributes of models are named

_SHAPELESS = (KeyError, TypeError, ValueError, IndexError, AttributeError, AssertionError, sqlite3.Error)


def number(value: Any) -> int | float | None:
    """A number or nothing, as it is; ValueError for anything else."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ValueError(f"{value!r} is no number")


@contextlib.contextmanager
def as_result(run: Run) -> Iterator[None]:
    """BadRequest in one line where the block finds that what the run has stored has another shape than it should."""
    try:
        yield
    except BadRequest:
        raise
    except _SHAPELESS as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise BadRequest(f"what run {run.id} has stored is damaged ({what}); compute it again") from None


def thinned(points: Sequence[tuple[int, float]], most: int = 1000) -> Points:
    """At most about `most` of the points, the last one among them: what a picture can show."""
    step = max(1, -(-len(points) // most))
    return [*points[:-1:step], *points[-1:]]


def scalar_curves(run: Run) -> dict[str, Points]:
    """Everything that the run has measured step by step, by name."""
    metrics = run.metrics()
    return {name: metrics.scalars(name) for name in metrics.names()}


def searched_depth(vectors: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Blocks per stack of a search, from the newest lists that it recorded; ValueError where a stack has no name."""
    found = {name.removeprefix("keep/"): len(values) for name, values in vectors.items() if name.startswith("keep/")}
    for stack in found:
        if not _STACK.fullmatch(stack):
            raise ValueError(f"{stack[:40]!r} cannot be a stack of blocks")
    return {stack: found[stack] for stack in in_order(found)}


def keep_columns(metrics: MetricsReader, stacks: Sequence[str]) -> dict[int, list[float]]:
    """The keep probabilities of all blocks by step, the stacks one behind the other."""
    columns: dict[int, list[float]] = {}
    for stack in stacks:
        for step, values in metrics.vectors(f"keep/{stack}"):
            columns.setdefault(step, []).extend(values)
    return columns
