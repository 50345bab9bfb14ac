"""The job itself: cell after cell, each of which chooses blocks and measures what is left, and is stored when done."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinylab.config import CompareConfig, SearchConfig
from tinylab.errors import Stopped
from tinylab.jobs.compare.cell import Cell, table_rows
from tinylab.jobs.compare.check import LEARNED, blocks_compared, is_learned, row_labels, search_pattern
from tinylab.jobs.compare.measure import Bench, measure
from tinylab.jobs.context import JobContext
from tinylab.jobs.ground_truth import GroundTruth, ranked, study_facts
from tinylab.jobs.part_recorder import PartRecorder, Stopwatch
from tinylab.jobs.prune import choose_plan
from tinylab.metrics.cost import count_parameters
from tinylab.models.block_form import protected_blocks
from tinylab.presets import search_config
from tinylab.pruning.criteria import asked_layout
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.store import find_plan
from tinylab.training.loop import run_loop
from tinylab.training.search import SearchTask

__all__ = ["run"]

_SECONDS = "seconds"  # the detail of a plan that holds how long the method took


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
        plan, seconds = _plan_of(bench, cell, keep=keep, total=total)
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
            recipe = _search_recipe(config, method, seed=seed, keep=keep, depth=depth) if searched else None
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


def _search_recipe(config: CompareConfig, method: str, *, seed: int, keep: int, depth: dict[str, int]) -> SearchConfig:
    """The search that `learned` stands for: the preset quick, with the comparison's model, data and pattern."""
    given = {name: getattr(config, name) for name in ("model", "data", "device", "threads")}
    given |= {"steps": config.search_steps} if config.search_steps else {}
    return search_config("quick", **given, seed=seed, pattern=search_pattern(method, config, keep, depth))


def _plan_of(bench: Bench, cell: Cell, *, keep: int, total: int) -> tuple[DepthPlan, float | None]:
    """What the method keeps and how many seconds it took (None for a plan that was given).

    It is chosen once: a resumed job finds it beside the checkpoints, which fit no other.
    """
    if cell.given is not None:
        return cell.given, None
    if not cell.plan_path.is_file():
        cell.folder.mkdir(parents=True, exist_ok=True)
        plan, seconds = (_search if is_learned(cell.method) else _by_rule)(bench, cell, keep, total)
        replace(plan, details={**plan.details, _SECONDS: round(seconds, 6)}).save(cell.plan_path)
    plan = DepthPlan.load(cell.plan_path)
    return plan, plan.details.get(_SECONDS)


def _by_rule(bench: Bench, cell: Cell, keep: int, total: int) -> tuple[DepthPlan, float]:
    config, depth = bench.config, bench.full.model.stack_depths()
    bench.context.progress(cell.before, total, f"{cell.name}: choosing layers")

    def progress(done: int, total: int) -> None:
        bench.context.stop_here("resume it to go on with this method")

    began = time.perf_counter()
    plan = choose_plan(
        cell.method,
        bench.full.model,
        bench.full.objective,
        bench.full.train,
        name=config.model,
        layout=asked_layout(config.pattern, keep, depth, protected_blocks(bench.full.model)),
        seed=cell.seed,
        samples=config.samples,
        progress=progress,
    )
    return plan, time.perf_counter() - began


def _search(bench: Bench, cell: Cell, keep: int, total: int) -> tuple[DepthPlan, float]:
    """Learn the mask, from the newest checkpoint in the cell's folder."""
    watch = Stopwatch(cell.folder / "seconds.json")
    depth = bench.full.model.stack_depths()
    config = _search_recipe(bench.config, cell.method, seed=cell.seed, keep=keep, depth=depth)
    task = SearchTask(bench.full.model, bench.full.objective, bench.full.train, config)
    doing, name = f"{cell.name}: searching", f"{cell.name}/search"
    recorder = PartRecorder(bench.context, name, doing, cell.before, total, watch.save)
    try:
        run_loop(task, config, cell.folder / "search", recorder)
    finally:
        watch.save()
    details = {"pattern": str(task.layout), "weights": config.weights, "steps": config.steps, "seed": cell.seed}
    return DepthPlan(task.decision(), depth, LEARNED, model=config.model, details=details), watch.seconds
