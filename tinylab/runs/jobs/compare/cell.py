"""One cell of a comparison: a method and a seed, and what it came to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tinylab import atomic
from tinylab.errors import BadRequest
from tinylab.json_file import read_object
from tinylab.pruning.plan import DepthPlan

__all__ = ["Cell", "CellResult"]


@dataclass(frozen=True)
class Cell:
    """What is to be computed.

    Attributes:
        row: index of the method; the saved model is `models/ROW`.
        label: what the row is called.
        name: what the cell is called, with its seed if there are several.
        given: the plan, where it was given; None where `method` chooses.
        first: True for the first seed of its row, whose model is saved.
        search_steps: steps of the search that chooses; 0 if none does.
        steps: steps of the fine-tuning.
        before: steps of the cells before it.
        folder: where it is kept.
    """

    row: int
    label: str
    name: str
    method: str
    given: DepthPlan | None = field(compare=False)
    seed: int
    first: bool
    search_steps: int
    steps: int
    before: int
    folder: Path

    @property
    def length(self) -> int:
        """Steps of the cell, at least one."""
        return max(1, self.search_steps + self.steps)

    @property
    def plan_path(self) -> Path:
        """Where the choice of the method is kept."""
        return self.folder / "plan.json"

    def result(self) -> CellResult | None:
        """What it came to; None if it is not done. BadRequest if the file is damaged."""
        return CellResult.load(self.folder / "cell.json")

    def finish(self, result: CellResult) -> None:
        """Store the result; checkpoints are of no use any more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write_text(self.folder / "cell.json", json.dumps(asdict(result), indent=2) + "\n")
        for work in ("search", "tuning"):
            shutil.rmtree(self.folder / work, ignore_errors=True)


@dataclass(frozen=True)
class CellResult:
    """What a cell came to.

    Attributes:
        kept: indices of the blocks that stay, per stack.
        loss_pruned, loss_finetuned: losses on held-out data; the second is None where nothing was fine-tuned.
        speedup: of a forward pass, against the full model.
        parameters: weights that are left.
        seconds_choosing: how long the method took; None for a plan that was given.
    """

    kept: Mapping[str, tuple[int, ...]]
    loss_pruned: float
    loss_finetuned: float | None
    speedup: float
    parameters: int
    seconds_choosing: float | None

    @classmethod
    def load(cls, path: Path) -> CellResult | None:
        """Read the file; None if there is none, BadRequest if it is damaged."""
        if not path.is_file():
            return None
        try:
            values: dict[str, Any] = read_object(path) or {}
            kept = {stack: tuple(indices) for stack, indices in values.pop("kept").items()}
            return cls(kept, **values)
        except (KeyError, TypeError, AttributeError):
            raise BadRequest(f"{path} is damaged; delete it to compute that cell anew") from None
