"""Recover one cut model by several recipes, in several processes; every cell (recipe, seed) is stored when done."""

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tinylab.config import RecipesConfig
from tinylab.errors import BadRequest, Stopped
from tinylab.files import atomic
from tinylab.files.json_file import read_object
from tinylab.jobs.checks import recipe_config
from tinylab.jobs.context import JobContext
from tinylab.jobs.facts import Facts
from tinylab.jobs.finetune import begun_plan
from tinylab.jobs.model_and_data import ModelAndData
from tinylab.jobs.process_pool import work_through
from tinylab.jobs.snapshots import few_steps
from tinylab.metrics.digit_fidelity import DigitFidelity
from tinylab.models.load import load_reader
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.replay import standard_error
from tinylab.sampling.generate import generate
from tinylab.training.recorder import SilentRecorder
from tinylab.training.recover import recover

__all__ = ["CELLS", "recipe_rows", "run"]

CELLS = "cells.json"  # what is done, among the artifacts


@dataclass(frozen=True)
class _Cell:
    """What one recovery came to.

    Attributes:
        loss: of the averaged weights on held-out data.
        kernel_distance, read_correctly: of their samples (see `DigitScores`); None where none were scored.
        seconds: of the recovery, its warm start included.
    """

    recipe: str
    seed: int
    loss: float
    kernel_distance: float | None
    read_correctly: float | None
    seconds: float


def run(config: RecipesConfig, context: JobContext) -> dict[str, Any]:
    """Every recipe with the first seed, then with the next; a resumed job goes on where it was."""
    plan = begun_plan(config, context)
    path = context.run.artifacts / CELLS
    done = _stored(path)
    known = {(cell.recipe, cell.seed) for cell in done}
    waiting = [(r, s) for s in config.seeds for r in config.recipes if (r, s) not in known]
    total = len(config.seeds) * len(config.recipes)

    def on_done(asked: tuple[Any, ...], cell: _Cell) -> None:
        done.append(cell)
        atomic.write_text(path, json.dumps({"cells": [asdict(cell) for cell in done]}, indent=2) + "\n")
        context.run.write_result(_result(config, plan, done))

    complete = work_through(
        _Bench.cell,
        waiting,
        make=_Bench,
        arguments=(config, plan),
        workers=config.workers,
        threads=config.threads,
        should_stop=context.should_stop,
        on_done=on_done,
        on_wait=lambda: context.progress(len(done), total, "recovering"),
    )
    if not complete:
        raise Stopped(f"stopped after {len(done)} of {total} recoveries")
    full = ModelAndData.load(plan.model, config.data, config.device, context.facts)
    losses = {"loss_full": full.loss(full.model), "loss_pruned": full.loss(apply_plan(full.model, plan))}
    return _result(config, plan, done, losses)


def recipe_rows(recipes: Sequence[str], cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a recipe that has cells: means over its seeds with standard errors, and the mean difference of its losses
    to those of the first recipe, seed by seed."""
    by_recipe = {recipe: {cell["seed"]: cell for cell in cells if cell["recipe"] == recipe} for recipe in recipes}
    first = by_recipe[recipes[0]]
    rows = []
    for recipe, found in by_recipe.items():
        if not found:
            continue
        gaps = [cell["loss"] - first[seed]["loss"] for seed, cell in found.items() if seed in first]
        row: dict[str, Any] = {"recipe": recipe, "seeds": sorted(found)}
        for name in ("loss", "kernel_distance", "read_correctly"):
            row[name], row[f"{name}_error"] = _mean([cell[name] for cell in found.values()])
        row["difference"], row["difference_error"] = _mean(gaps)
        row["seconds"] = statistics.median(cell["seconds"] for cell in found.values())
        rows.append(row)
    return rows


def _mean(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and its standard error; None where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return None, None
    return statistics.mean(known), standard_error(known)


def _result(
    config: RecipesConfig, plan: DepthPlan, done: Sequence[_Cell], losses: Mapping[str, float] | None = None
) -> dict[str, Any]:
    rows = recipe_rows(config.recipes, [asdict(cell) for cell in done])
    kept = {stack: list(several) for stack, several in plan.kept.items()}
    return {"kept": kept, **(losses or {}), "rows": rows}


def _stored(path: Path) -> list[_Cell]:
    if not path.is_file():
        return []
    try:
        return [_Cell(**cell) for cell in (read_object(path) or {})["cells"]]
    except (KeyError, TypeError):
        raise BadRequest(f"{path} is damaged; delete it to compute all again") from None


class _Bench:
    """What a process keeps between two recoveries."""

    def __init__(self, config: RecipesConfig, plan: DepthPlan) -> None:
        self.config, self.plan = config, plan
        self.full = ModelAndData.load(plan.model, config.data, config.device, Facts())
        reader = load_reader(self.full.model) if config.scored_samples else None
        self.fidelity = DigitFidelity(reader, self.full.train) if reader else None

    def cell(self, recipe: str, seed: int) -> _Cell:
        """Recover once, and judge."""
        config, full = recipe_config(recipe, self.config, seed), self.full
        student, silent = apply_plan(full.model, self.plan), SilentRecorder()
        began = time.perf_counter()
        model = recover(
            student,
            full.model,
            self.plan,
            full.objective,
            full.train,
            config,
            checkpoints=None,
            recorder=silent,
            warm_recorder=silent,
        )
        seconds = time.perf_counter() - began
        distance = correct = None
        if self.fidelity:
            labels = torch.arange(self.config.scored_samples) % model.num_classes
            settings = few_steps(model.family, guidance=1.0, seed=seed)
            scores = self.fidelity.scores(generate(model, full.objective, labels, settings), labels)
            distance, correct = scores.kernel_distance, scores.read_correctly
        return _Cell(recipe, seed, full.loss(model), distance, correct, round(seconds, 3))
