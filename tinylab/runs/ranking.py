"""The rows of a comparison, with the place of every choice among all candidates of a study. Free of torch."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tinylab.config import CompareConfig
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.ground_truth import GroundTruth, Place, recipe_of

__all__ = ["ranked", "study_facts"]

Row = dict[str, Any]


def study_facts(truth: GroundTruth) -> Row:
    """What a result says of the study: how many candidates there are, and by which recipe they were fine-tuned."""
    return {"candidates": len(truth.table), "finetuned": len(truth.finetuned), "recipe": truth.recipe}


def ranked(rows: Sequence[Row], config: CompareConfig, depth: Mapping[str, int], truth: GroundTruth) -> list[Row]:
    """The rows with what a `Place` tells of every cell, and the means of the ranks that are known."""
    return [_ranked(row, config, depth, truth) for row in rows]


def _ranked(row: Row, config: CompareConfig, depth: Mapping[str, int], truth: GroundTruth) -> Row:
    places = [_place(cell, config, depth, truth) for cell in row["cells"]]
    means = {name: _mean([getattr(place, name) for place in places]) for name in ("rank", "rank_share", "rank_pruned")}
    cells = [{**cell, **asdict(place)} for cell, place in zip(row["cells"], places, strict=True)]
    return {**row, **means, "cells": cells}


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
