"""The job itself: cell after cell, each stored when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinylab.config import CompareConfig
from tinylab.errors import Stopped
from tinylab.jobs.compare.cell import Cell, table_rows
from tinylab.jobs.compare.check import blocks_compared, is_learned, row_labels
from tinylab.jobs.compare.choose import plan_of, search_recipe
from tinylab.jobs.compare.measure import Bench, measure
from tinylab.jobs.context import JobContext
from tinylab.jobs.ground_truth import GroundTruth, ranked, study_facts
from tinylab.metrics.cost import count_parameters
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.store import find_plan

__all__ = ["run"]


def run(config: CompareConfig, context: JobContext) -> dict[str, Any]:
    """All methods with the first seed, then with the next; the result holds what is done, means over its seeds."""
    bench = Bench(config, context)
    depth = bench.full.model.stack_depths()
    plans = [_kept_plan(context.run.checkpoints / f"{row}", given) for row, given in enumerate(config.plans)]
    truth = _ground_truth(config, context.run.artifacts)
    keep = blocks_compared(config, plans, depth)
    cells = _cells(config, plans, keep, depth, context.run.checkpoints)
    total = sum(cell.length for cell in cells)
    done = {cell: result for cell in cells if (result := cell.result()) is not None}
    parameters = count_parameters(bench.full.model)

    def table() -> dict[str, Any]:
        full = {"loss": bench.full_loss, "parameters": parameters, "depth": depth}
        result: dict[str, Any] = {
            "full": full,
            "rows": table_rows(done, parameters=parameters),
            "keep": keep,
            "seeds": _seeds(config),
        }
        if truth is not None:
            result |= {"rows": ranked(result["rows"], config, depth, truth), "study": study_facts(truth)}
        return result

    for number, cell in enumerate(cells, start=1):
        if cell in done:
            continue
        plan, seconds = plan_of(bench, cell, keep=keep, total=total)
        done[cell] = measure(bench, cell, plan, done, seconds_choosing=seconds, total=total)
        cell.finish(done[cell])
        context.run.write_result(table())
        context.progress(cell.before + cell.length, total, f"{cell.name}: measured")
        if context.should_stop() and number < len(cells):
            raise Stopped(f"stopped after {len(done)} of {len(cells)} cells")
    return table()


def _seeds(config: CompareConfig) -> list[int]:
    return list(config.seeds or (config.seed,))


def _kept_plan(folder: Path, reference: str) -> DepthPlan:
    """A plan that was given, as it was when the job began, whatever became of its source."""
    kept = folder / "plan.json"
    if not kept.is_file():
        plan = find_plan(reference)
        folder.mkdir(parents=True, exist_ok=True)
        plan.save(kept)
    return DepthPlan.load(kept)


def _ground_truth(config: CompareConfig, artifacts: Path) -> GroundTruth | None:
    """The study as it was when the job began."""
    if config.study is None:
        return None
    kept = GroundTruth.load(artifacts)
    if kept is None:
        kept = GroundTruth.open(config.study)
        kept.save(artifacts)
    return kept


def _cells(
    config: CompareConfig, plans: Sequence[DepthPlan], keep: int, depth: dict[str, int], folder: Path
) -> list[Cell]:
    """All cells in the order in which they are computed: every method once before any has its second seed."""
    methods = [*(plan.method for plan in plans), *config.methods]
    labels, given = row_labels(config, plans), [*plans, *[None] * len(config.methods)]
    seeds, cells, before = _seeds(config), list[Cell](), 0
    for seed in seeds:
        for row, (label, method, plan) in enumerate(zip(labels, methods, given, strict=True)):
            searched = plan is None and is_learned(method)
            recipe = search_recipe(config, method, seed=seed, keep=keep, depth=depth) if searched else None
            cell = Cell(
                row=row,
                label=label,
                name=label if len(seeds) == 1 else f"{label}, seed {seed}",
                method=method,
                given=plan,
                seed=seed,
                first=seed == seeds[0],
                search_steps=recipe.steps if recipe else 0,
                steps=config.steps,
                before=before,
                folder=folder / f"{row}" / f"seed-{seed}",
            )
            cells.append(cell)
            before += cell.length
    return cells
