"""How the method of a cell comes to its plan."""

from __future__ import annotations

import time
from dataclasses import replace

from tinylab.config import CompareConfig, SearchConfig
from tinylab.jobs.choose_plan import choose_plan
from tinylab.jobs.compare.cell import Cell
from tinylab.jobs.compare.check import LEARNED, is_learned, search_pattern
from tinylab.jobs.compare.measure import Bench
from tinylab.jobs.part_recorder import PartRecorder, Stopwatch
from tinylab.models.block_form import protected_blocks
from tinylab.presets import search_config
from tinylab.pruning.criteria import asked_layout
from tinylab.pruning.plan import DepthPlan
from tinylab.training.loop import run_loop
from tinylab.training.search import SearchTask

__all__ = ["plan_of", "search_recipe"]

_SECONDS = "seconds"  # the detail of a plan that tells how long the method took


def search_recipe(config: CompareConfig, method: str, *, seed: int, keep: int, depth: dict[str, int]) -> SearchConfig:
    """The search that `learned` stands for: the preset quick, with the comparison's model, data and pattern."""
    given = {name: getattr(config, name) for name in ("model", "data", "device", "threads")}
    given |= {"steps": config.search_steps} if config.search_steps else {}
    return search_config("quick", **given, seed=seed, pattern=search_pattern(method, config, keep, depth))


def plan_of(bench: Bench, cell: Cell, *, keep: int, total: int) -> tuple[DepthPlan, float | None]:
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
    config = search_recipe(bench.config, cell.method, seed=cell.seed, keep=keep, depth=depth)
    task = SearchTask(bench.full.model, bench.full.objective, bench.full.train, config)
    doing, name = f"{cell.name}: searching", f"{cell.name}/search"
    recorder = PartRecorder(bench.context, name, doing, cell.before, total, watch.save)
    try:
        run_loop(task, config, cell.folder / "search", recorder)
    finally:
        watch.save()
    details = {"pattern": str(task.layout), "weights": config.weights, "steps": config.steps, "seed": cell.seed}
    return DepthPlan(task.decision(), depth, LEARNED, model=config.model, details=details), watch.seconds
