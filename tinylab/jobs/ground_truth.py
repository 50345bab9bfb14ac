"""A study as the ground truth of a comparison: the rank of a choice among all candidates. Free of torch."""

from __future__ import annotations

import json
import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from tinylab.config import CompareConfig, FinetuneConfig, StudyConfig
from tinylab.data.catalog import DIGITS
from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.json_file import read_object
from tinylab.models.catalog import locate_model
from tinylab.paths import exists
from tinylab.pruning.exhaustive import Candidate, CandidateTable
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.store import find_run

__all__ = ["CANDIDATES", "GroundTruth", "Place", "ranked", "recipe_of", "study_facts"]

CANDIDATES = "candidates.csv"  # the table, among the artifacts of a study and of a comparison that ranks by it
_FACTS = "study.json"
_RECIPE = ("steps", "batch_size", "lr", "warmup", "ema_decay", "label_dropout")


def recipe_of(config: StudyConfig | CompareConfig, seed: int) -> dict[str, Any]:
    """Everything that decides what a fine-tuning makes of a choice of blocks."""
    clip = getattr(config, "clip", FinetuneConfig.model_fields["clip"].default)
    data = DIGITS if config.data == "auto" else config.data
    return {**{name: getattr(config, name) for name in _RECIPE}, "clip": clip, "data": data, "seed": seed}


@dataclass(frozen=True)
class Place:
    """The ranks of a choice. They begin at 1, the smallest loss; None where nothing comparable is known.

    Attributes:
        rank: among the candidates that the study has fine-tuned, by the loss after that.
        rank_share: the same as a share of their number; 0.03 is among the best 3%.
        rank_pruned: among all candidates by the loss right after pruning.
        study_losses: the losses by which it was ranked, right after pruning and fine-tuned.
    """

    rank: int | None = None
    rank_share: float | None = None
    rank_pruned: int | None = None
    study_losses: tuple[float, float] | None = None


class GroundTruth:
    """The table of a study, and the recipe (see `recipe_of`) it was made by; None if only the table is known."""

    def __init__(self, table: CandidateTable, recipe: Mapping[str, Any] | None = None, model: str = "") -> None:
        self.table, self.recipe, self.model = table, recipe, model
        self._known = {row.kept: row for row in table.rows}
        self._pruned = sorted(row.loss_pruned for row in table.rows if row.loss_pruned is not None)
        self._finetuned = sorted(row.loss_finetuned for row in table.rows if row.loss_finetuned is not None)

    @classmethod
    def open(cls, reference: str) -> GroundTruth:
        """Read a study run, finished or not, a folder that `save` wrote, or the table alone.

        Raises:
            BadRequest: no such study, it is damaged, or it has no losses yet.
        """
        path = Path(reference)
        if exists(path) and path.is_file():
            return cls(CandidateTable.load(path))._checked(reference)
        kept = cls.load(path) if exists(path / CANDIDATES) else None
        if kept is not None:
            return kept._checked(reference)
        run = find_run(reference)
        config = run.config()
        if not isinstance(config, StudyConfig):
            raise BadRequest(f"run {run.id} is no study but a {config.kind}; make one with `tinylab study exhaustive`")
        path = run.artifacts / CANDIDATES
        table = CandidateTable.load(path) if path.is_file() else CandidateTable([])
        return cls(table, recipe_of(config, config.seed), config.model)._checked(reference)

    def _checked(self, reference: str) -> GroundTruth:
        if not self._pruned:
            raise BadRequest(f"{reference} has no losses yet; let `tinylab study` compute some first")
        return self

    def check_fits(self, model: str, keep: int, depth: Mapping[str, int]) -> None:
        """BadRequest unless the study is about this model and this number of blocks."""
        if self.model not in ("", model) and locate_model(self.model) != locate_model(model):
            raise BadRequest(f"the study is about {self.model}, not {model}; add --model {self.model}")
        sizes = sorted({len(row.kept) for row in self.table.rows})
        if sizes != [keep]:
            several = " or ".join(map(str, sizes))
            raise BadRequest(f"the study keeps {several} blocks, this comparison {keep}; add --keep {sizes[0]}")
        DepthPlan.of(self.table.rows[0].kept, depth, "study")

    def save(self, folder: Path) -> None:
        """Copy it, so that a comparison explains itself, whatever becomes of the study."""
        self.table.save(folder / CANDIDATES)
        atomic.write_text(folder / _FACTS, json.dumps({"model": self.model, "recipe": self.recipe}, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> GroundTruth | None:
        """Read what `save` wrote; None if it wrote nothing there."""
        facts = read_object(folder / _FACTS)
        if facts is None:
            return None
        return cls(CandidateTable.load(folder / CANDIDATES), facts.get("recipe"), str(facts.get("model", "")))

    def place(
        self, plan: DepthPlan, *, loss_pruned: float, loss_finetuned: float | None, recipe: Mapping[str, Any]
    ) -> Place:
        """The ranks of the choice of `plan`: by the study's own losses of it.

        Where the study has none, the loss of the comparison counts, if it was measured alike: on the same data, and
        the one after fine-tuning by the same recipe with the same seed.
        """
        row = self._known.get(tuple(plan.kept_names), Candidate(()))
        same = dict(recipe) == dict(self.recipe or {})
        same_data = (self.recipe or {}).get("data") == recipe["data"]
        before = row.loss_pruned if row.loss_pruned is not None else (loss_pruned if same_data else None)
        after = row.loss_finetuned if row.loss_finetuned is not None else (loss_finetuned if same else None)
        rank, share = self._rank(self._finetuned, after, known=row.loss_finetuned is not None)
        rank_pruned, _ = self._rank(self._pruned, before, known=row.loss_pruned is not None)
        losses = None if rank is None or before is None or after is None else (before, after)
        return Place(rank, share, rank_pruned, losses)

    @staticmethod
    def _rank(losses: list[float], loss: float | None, *, known: bool) -> tuple[int | None, float | None]:
        """The place of `loss`, and the same as a share; one that is not `known` is counted in."""
        if loss is None or not losses:
            return None, None
        rank = bisect_left(losses, loss) + 1
        return rank, rank / (len(losses) + (not known))

    @property
    def finetuned(self) -> list[tuple[Candidate, float, float]]:
        """The candidates whose two losses are known, with them."""
        done = [row for row in self.table.finetuned if row.loss_pruned is not None]
        return [(row, cast(float, row.loss_pruned), cast(float, row.loss_finetuned)) for row in done]


Row = dict[str, Any]


def study_facts(truth: GroundTruth) -> Row:
    """What a result holds of the study: how many candidates there are, and by which recipe they were fine-tuned."""
    return {"candidates": len(truth.table), "finetuned": len(truth.finetuned), "recipe": truth.recipe}


def ranked(rows: Sequence[Row], config: CompareConfig, depth: Mapping[str, int], truth: GroundTruth) -> list[Row]:
    """The rows with the `Place` of every cell, and the means of the ranks that are known."""
    found = []
    for row in rows:
        cells = [{**cell, **asdict(_place(cell, config, depth, truth))} for cell in row["cells"]]
        means = {name: _mean([cell[name] for cell in cells]) for name in ("rank", "rank_share", "rank_pruned")}
        found.append({**row, **means, "cells": cells})
    return found


def _place(cell: Row, config: CompareConfig, depth: Mapping[str, int], truth: GroundTruth) -> Place:
    plan = DepthPlan({stack: tuple(kept) for stack, kept in cell["kept"].items()}, depth, "compared")
    return truth.place(
        plan,
        loss_pruned=cell["loss_pruned"],
        loss_finetuned=cell["loss_finetuned"],
        recipe=recipe_of(config, cell["seed"]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None
