"""What a criterion is given and what it answers. Free of torch, so that names can be listed lightly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinylab.data.base import Dataset
    from tinylab.diffusion import Objective
    from tinylab.models.base import Denoiser

__all__ = ["Choice", "Request", "keep_highest"]


@dataclass(frozen=True)
class Request:
    """A model to be cut to `keep` blocks, and calibration data for the criteria that look at some."""

    model: Denoiser
    depth: Mapping[str, int]
    keep: int
    seed: int
    indices: Sequence[int | str] | None
    samples: int
    objective: Objective
    data: Dataset | None
    progress: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class Choice:
    """Kept indices per stack; `scores` per stack where the criterion has any, higher = keep."""

    kept: Mapping[str, tuple[int, ...]]
    scores: Mapping[str, list[float]] | None = None


def keep_highest(scores: Mapping[str, list[float]], keep: int) -> Choice:
    """Keep the `keep` blocks with the highest scores over all stacks, of equal ones the earlier.

    The best block of every stack is among them, since no stack can be empty.
    """
    ranked = sorted((-s, stack, i) for stack, values in scores.items() for i, s in enumerate(values))
    best = [next(entry for entry in ranked if entry[1] == stack) for stack in scores]
    chosen = [*best, *(entry for entry in ranked if entry not in best)][:keep]
    kept = {stack: tuple(sorted(i for _, name, i in chosen if name == stack)) for stack in scores}
    return Choice(kept, scores)
