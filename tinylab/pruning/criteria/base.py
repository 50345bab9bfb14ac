"""What a criterion is given and what it answers. Free of torch, so that names can be listed lightly."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING

from tinylab.errors import BadRequest
from tinylab.pruning.criteria.budget import check_budget
from tinylab.pruning.layout import Block, Group, Layout

if TYPE_CHECKING:
    from tinylab.data.base import Dataset
    from tinylab.diffusion import Objective
    from tinylab.models.base import Denoiser

__all__ = ["Choice", "Request", "by_stack", "keep_highest"]


@dataclass(frozen=True)
class Request:
    """A model to be cut to `layout`, and calibration data for the criteria that need some.

    Attributes:
        layout: how many blocks stay of every group; numbers of blocks, not a budget of time.
        samples: images of `data` that scores are taken over.
        draws: random choices that best, median and worst of random draw.
        indices: the blocks that a person named.
        protected: blocks per stack that must stay.

    Raises:
        BadRequest: the layout is a budget of time, or too small for the blocks that must stay.
    """

    model: Denoiser
    layout: Layout
    _: KW_ONLY
    objective: Objective
    data: Dataset | None
    seed: int = 0
    samples: int = 512
    draws: int = 32
    indices: Sequence[int | str] | None = None
    progress: Callable[[int, int], None] = lambda done, total: None
    protected: Mapping[str, Collection[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_budget(self.layout, self.protected)

    @property
    def depth(self) -> Mapping[str, int]:
        """Number of blocks of every stack."""
        return self.layout.depth

    @property
    def blocks(self) -> list[Block]:
        """All blocks, (stack, index), in order."""
        return [(stack, i) for stack, count in self.depth.items() for i in range(count)]

    def fixed(self, group: Group) -> list[Block]:
        """The blocks of a group that must stay."""
        return [group.blocks[place] for place in sorted(group.fixed(self.protected))]

    def allows(self, kept: Mapping[str, Collection[int]]) -> bool:
        """True if every group keeps at least its number, no stack is empty and every protected block stays."""
        groups = self.layout.groups
        enough = all(sum(i in kept[stack] for stack, i in group.blocks) >= group.keep for group in groups)
        return enough and all(
            kept[stack] and set(self.protected.get(stack, ())) <= set(kept[stack]) for stack in self.depth
        )


@dataclass(frozen=True)
class Choice:
    """Kept indices per stack; `scores` per stack where the criterion has any, higher = keep."""

    kept: Mapping[str, tuple[int, ...]]
    scores: Mapping[str, list[float]] | None = None


def by_stack(request: Request, chosen: Collection[Block]) -> dict[str, tuple[int, ...]]:
    """Indices per stack of the chosen (stack, index) blocks."""
    return {stack: tuple(sorted(i for name, i in chosen if name == stack)) for stack in request.depth}


def keep_highest(request: Request, scores: Mapping[str, list[float]]) -> Choice:
    """Keep the blocks with the highest scores of every group, of equal ones the earlier.

    What must stay comes first: protected blocks, and the best block of every stack, since no stack can be empty.

    Raises:
        BadRequest: a score is not a number.
    """
    for stack, i in request.blocks:
        if math.isnan(scores[stack][i]):
            raise BadRequest(
                f"block {i} of {stack!r} scores no number; the model's weights are damaged, get whole ones"
            )
    chosen: list[Block] = []
    for group in request.layout.groups:
        ranked = sorted(group.blocks, key=lambda block: -scores[block[0]][block[1]])  # stable: of equals the earlier
        must = request.fixed(group)
        settled = {stack for stack, _ in must}
        bare = [stack for stack in dict.fromkeys(stack for stack, _ in group.blocks) if stack not in settled]
        must += [next(block for block in ranked if block[0] == stack) for stack in bare]
        chosen += [*must, *(block for block in ranked if block not in must)][: group.keep]
    return Choice(by_stack(request, chosen), scores)
