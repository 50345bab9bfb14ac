"""What any pruning method produces. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.models.families import MOST_BLOCKS
from tinylab.pruning.layout import show_depth

__all__ = ["DepthPlan", "block_names"]

_MOST_STACKS = 16  # more than any model has: a file may hold anything


def block_names(depth: Mapping[str, int]) -> dict[str, list[str]]:
    """What people call the blocks of every stack: 0, 1, …; with several stacks e0, e1, …, d0, … by their initials."""
    initials = [stack[:1] for stack in depth]
    distinct = len(set(initials)) == len(initials)
    prefixes = {stack: "" if len(depth) == 1 else stack[:1] if distinct else f"{stack}." for stack in depth}
    return {stack: [f"{prefixes[stack]}{i}" for i in range(count)] for stack, count in depth.items()}


@dataclass(frozen=True)
class DepthPlan:
    """Which blocks of each stack stay, and where that choice came from.

    Attributes:
        kept: indices per stack, ascending.
        depth: number of blocks per stack before the cut.
        method: name of the criterion, or `learned`.
        model: the model it was made for.
        details: scores, seeds and the like, for people.
    """

    kept: Mapping[str, tuple[int, ...]]
    depth: Mapping[str, int]
    method: str
    model: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if set(self.kept) != set(self.depth):
            raise BadRequest(
                f"a plan must name the same stacks twice, not {sorted(self.kept)} and {sorted(self.depth)}"
            )
        if len(self.depth) > _MOST_STACKS or max(self.depth.values(), default=0) > MOST_BLOCKS:
            raise BadRequest(
                f"no model has more than {_MOST_STACKS} stacks of {MOST_BLOCKS:,} blocks; the plan is damaged"
            )
        for stack, indices in self.kept.items():
            _check_indices(indices, self.depth[stack], stack)

    @classmethod
    def of(cls, blocks: Sequence[int | str], depth: Mapping[str, int], method: str, **rest: Any) -> DepthPlan:
        """A plan from the names of blocks (see `block_names`) in any order."""
        names = block_names(depth)
        places = {name: (stack, i) for stack, several in names.items() for i, name in enumerate(several)}
        kept: dict[str, list[int]] = {stack: [] for stack in depth}
        for block in blocks:
            if str(block) not in places:
                raise BadRequest(f"block {block} is out of range: {_ranges(names)}")
            stack, index = places[str(block)]
            kept[stack].append(index)
        return cls({stack: tuple(sorted(several)) for stack, several in kept.items()}, dict(depth), method, **rest)

    @property
    def kept_names(self) -> list[str]:
        """What people call the blocks that stay."""
        names = block_names(self.depth)
        return [names[stack][i] for stack, indices in self.kept.items() for i in indices]

    def check_fits(self, depth: Mapping[str, int]) -> None:
        """BadRequest unless the plan was made for a model with these stacks."""
        if dict(depth) != dict(self.depth):
            raise BadRequest(
                f"the plan is for {show_depth(self.depth)}, the model has {show_depth(depth)}; use the plan's model"
            )

    @property
    def total(self) -> int:
        """Number of blocks that stay, over all stacks."""
        return sum(len(indices) for indices in self.kept.values())

    def save(self, path: Path) -> None:
        """Write the plan as JSON, atomically."""
        document = {
            "kept": {stack: list(indices) for stack, indices in self.kept.items()},
            "depth": sum(self.depth.values()),
            "depth_per_stack": dict(self.depth),
            "method": self.method,
            "model": self.model,
            "details": dict(self.details),
        }
        atomic.write_text(path, json.dumps(document, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> DepthPlan:
        """Read a plan; BadRequest if it is missing or damaged. `depth` alone suffices for a single stack."""
        try:
            document = json.loads(path.read_text())
            kept = document["kept"]
            depth = document.get("depth_per_stack") or {stack: document["depth"] for stack in kept}
            if not all(type(n) is int for n in (*depth.values(), *(i for several in kept.values() for i in several))):
                raise ValueError("a block is named by a whole number")
            return cls(
                {str(stack): tuple(sorted(indices)) for stack, indices in kept.items()},
                {str(stack): count for stack, count in depth.items()},
                str(document["method"]),
                model=str(document.get("model", "")),
                details=dict(document.get("details", {})),
            )
        except BadRequest:
            raise
        except OSError:
            raise BadRequest(f"there is no plan at {path}; a finished search or prune writes plan.json") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BadRequest(
                f'{path} is not a plan; it needs {{"kept": {{"blocks": [...]}}, "depth", "method"}}'
            ) from None


def _check_indices(indices: Sequence[int], depth: int, stack: str) -> None:
    if not indices:
        raise BadRequest(f"no index given: keep at least one of the blocks 0 to {depth - 1} of {stack!r}")
    for index in indices:
        if not 0 <= index < depth:
            raise BadRequest(f"block {index} is out of range: {stack!r} has blocks 0 to {depth - 1}")
    if len(set(indices)) < len(indices):
        twice = next(i for i in indices if list(indices).count(i) > 1)
        raise BadRequest(f"block {twice} is named twice; name each kept block once")


def _ranges(names: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{stack!r} has blocks {several[0]} to {several[-1]}" for stack, several in names.items())
