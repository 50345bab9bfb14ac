"""The ground truth of digits-dit as the lessons tell it: all candidates, and what the methods chose. Free of torch."""

import json
import statistics
from dataclasses import dataclass
from functools import cache
from typing import Any

from app.lessons.recorded import lessons_folder
from tinylab.jobs.ground_truth import GroundTruth
from tinylab.paths import assets_folder
from tinylab.pruning.exhaustive import Candidate, rank_correlation

__all__ = [
    "CHOICES",
    "FINALISTS",
    "METHODS",
    "SEEDS",
    "STUDY",
    "Choice",
    "chosen",
    "correlation",
    "ground_truth",
    "surprises",
    "without_first",
]

STUDY, CHOICES = "digits-dit", "choices.json"
SEEDS = (0, 1, 2, 3, 4)  # of the two that the first lesson sets against each other; the others have the first seed
FINALISTS = ("0 1 2 3 4 5", "0 1 2 3 4 6")
_FIRST, _FIRST_BLOCKS = (
    "0",
    frozenset("1234"),
)  # the block that nothing replaces, and those that do most of the work after it
_FIRST_RULES = "influence influence-clean flux-lite l2 relative-l2 sensitivity laptop first greedy beam evolution"
METHODS: dict[str, tuple[str, ...]] = {  # what each chooses with every seed, see docs/study.md
    "0 1 2 3 4 5": tuple(_FIRST_RULES.split()),
    "0 1 2 3 4 6": ("learned",),
    "0 1 2 3 4 11": ("norm-ratio",),
    "0 1 4 5 8 9": ("learned:2:4",),
    "0 1 2 9 10 11": ("contiguous",),
    "0 2 4 6 8 11": ("learned:1:2",),
    "0 2 4 7 9 11": ("oracle", "even"),
}


@dataclass(frozen=True)
class Choice:
    """A choice of blocks that methods made: its loss right after the cut, and after fine-tuning, seed by seed."""

    kept: str
    methods: tuple[str, ...]
    before: float
    after: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean of the losses after fine-tuning."""
        return statistics.mean(self.after)


@cache
def ground_truth() -> GroundTruth:
    """The study that ships with the lab."""
    return GroundTruth.open(str(assets_folder() / "studies" / STUDY))


@cache
def chosen() -> tuple[Choice, ...]:
    """What the methods chose, the smallest loss right after the cut first."""
    document: dict[str, Any] = json.loads((lessons_folder() / CHOICES).read_text())
    before = {" ".join(row.kept): row.loss_pruned for row in ground_truth().table.rows}
    found = [
        Choice(row["kept"], tuple(row["methods"]), before[row["kept"]] or 0.0, tuple(row["after"]))
        for row in document["choices"]
    ]
    return tuple(sorted(found, key=lambda choice: choice.before))


def correlation(*, first: bool | None = None) -> float:
    """Spearman's rank correlation of the losses before and after, over the candidates that were fine-tuned.

    Args:
        first: whether block 0 is kept; None for all.
    """
    done = [entry for entry in ground_truth().finetuned if first in (None, _FIRST in entry[0].kept)]
    return rank_correlation([before for _, before, _ in done], [after for _, _, after in done])


def without_first() -> dict[int, tuple[float, float]]:
    """Mean losses before and after of fine-tuned candidates without block 0, by how many of blocks 1 to 4 they keep."""
    groups: dict[int, list[tuple[float, float]]] = {}
    for row, before, after in ground_truth().finetuned:
        if _FIRST not in row.kept:
            groups.setdefault(len(_FIRST_BLOCKS.intersection(row.kept)), []).append((before, after))
    return {
        count: (statistics.mean(before for before, _ in losses), statistics.mean(after for _, after in losses))
        for count, losses in sorted(groups.items())
    }


def surprises() -> tuple[tuple[Candidate, float, float], tuple[Candidate, float, float]]:
    """The candidates that fell and rose most in rank by the fine-tuning, each with its losses before and after."""
    done = ground_truth().finetuned
    before = {row.kept: rank for rank, (row, _, _) in enumerate(sorted(done, key=lambda entry: entry[1]))}
    after = {row.kept: rank for rank, (row, _, _) in enumerate(sorted(done, key=lambda entry: entry[2]))}
    moved = sorted(done, key=lambda entry: after[entry[0].kept] - before[entry[0].kept])
    return moved[-1], moved[0]
