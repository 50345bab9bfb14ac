"""What a criterion is given and what it answers. Free of torch, so that names can be listed lightly."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinylab.data.base import Dataset
    from tinylab.diffusion import Objective
    from tinylab.models.base import Denoiser

__all__ = ["Choice", "Request", "by_stack", "keep_highest"]


@dataclass(frozen=True)
class Request:
    """A model to be cut to `keep` blocks, and calibration data for the criteria that look at some.

    Attributes:
        protected: blocks per stack that must stay.
    """

    model: Denoiser
    depth: Mapping[str, int]
    keep: int
    seed: int
    indices: Sequence[int | str] | None
    samples: int
    objective: Objective
    data: Dataset | None
    progress: Callable[[int, int], None] = lambda done, total: None
    protected: Mapping[str, Collection[int]] = field(default_factory=dict)

    @property
    def blocks(self) -> list[tuple[str, int]]:
        """All blocks, (stack, index), in order."""
        return [(stack, i) for stack, count in self.depth.items() for i in range(count)]

    def allows(self, kept: Mapping[str, Collection[int]]) -> bool:
        """True if no stack is empty and every protected block stays."""
        return all(kept[stack] and set(self.protected.get(stack, ())) <= set(kept[stack]) for stack in self.depth)


@dataclass(frozen=True)
class Choice:
    """Kept indices per stack; `scores` per stack where the criterion has any, higher = keep."""

    kept: Mapping[str, tuple[int, ...]]
    scores: Mapping[str, list[float]] | None = None


def by_stack(request: Request, chosen: Collection[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
    """Indices per stack of the chosen (stack, index) blocks."""
    return {stack: tuple(sorted(i for name, i in chosen if name == stack)) for stack in request.depth}


def keep_highest(request: Request, scores: Mapping[str, list[float]]) -> Choice:
    """Keep the blocks with the highest scores over all stacks, of equal ones the earlier.

    What must stay comes first: protected blocks, and the best block of every stack, since no stack can be empty.
    """
    ranked = sorted(request.blocks, key=lambda block: (-scores[block[0]][block[1]], request.blocks.index(block)))
    best = [next(block for block in ranked if block[0] == stack) for stack in request.depth]
    must = [(stack, i) for stack, several in request.protected.items() for i in several]
    first = [*must, *(block for block in best if not any(block[0] == stack for stack, _ in must))]
    chosen = [*first, *(block for block in ranked if block not in first)][: max(request.keep, len(first))]
    return Choice(by_stack(request, chosen), scores)
