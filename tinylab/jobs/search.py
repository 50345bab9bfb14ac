"""Learn which layers to keep, with one seed or several; save the plan and the model it leaves."""

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tinylab.config import SearchConfig
from tinylab.data.order import step_generator
from tinylab.distributed import process_group
from tinylab.files import atomic
from tinylab.jobs.context import JobContext
from tinylab.jobs.model_and_data import ModelAndData
from tinylab.jobs.prune import save_plan_and_model
from tinylab.metrics.cost import block_seconds
from tinylab.metrics.denoising import noised_batches
from tinylab.pruning.plan import DepthPlan, block_names
from tinylab.training.fastest import fastest_way
from tinylab.training.loop import run_loop
from tinylab.training.perturbation import decide_by_perturbation
from tinylab.training.recorder import StepRecord
from tinylab.training.search import SearchTask, mask_record

__all__ = ["agreement", "measured_once", "run"]


def measured_once(context: JobContext, name: str, measure: Callable[[], Any]) -> Any:
    """What `measure` returned (as JSON holds it) when it was first asked for in this run."""
    path = context.run.checkpoints / f"{name}.json"

    def find() -> Any:
        if not path.is_file():
            found = measure()
            atomic.write_text(path, json.dumps(found) + "\n")
        return json.loads(path.read_text())

    return process_group().from_main(find)


_JUDGED = 512  # noised images that a decision by perturbation is measured on
_TIMED = 64  # images in the forward passes that block times are measured in

Kept = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Found:
    """What one seed's search came to."""

    seed: int
    kept: Kept
    keep_probability: dict[str, list[float]]
    confidence: dict[str, float]
    decided: bool
    remarks: list[str]


def run(config: SearchConfig, context: JobContext) -> dict[str, Any]:
    """Search to the last step of every seed, then cut the original weights by the decision."""
    full = ModelAndData.load(config.model, config.data, config.device, context.facts)
    model = full.model
    seconds = _block_seconds(config, context, full)
    seeds = config.seeds or (config.seed,)
    found = []
    for number, seed in enumerate(seeds):
        one = config.model_copy(update={"seed": seed})
        task = SearchTask(model, full.objective, full.train, one, seconds=seconds)
        way = _choose_way(task, context)
        found.append(_search(task, context, number, len(seeds)))
    kept = found[0].kept if len(found) == 1 else _consensus(task, found)
    depth = model.stack_depths()
    shared = {"pattern": str(task.layout), "estimator": config.estimator, "decision": config.decision}
    details = {**shared, "weights": config.weights, "steps": config.steps, "seeds": list(seeds), **_shown(found)}
    plan = DepthPlan(kept, depth, "learned", model=config.model, details=details)
    _, losses = save_plan_and_model(context, model, plan, full.loss)
    result = {"kept": {stack: list(several) for stack, several in kept.items()}, **_shown(found), **losses, "way": way}
    if len(found) > 1:
        result["agreement"] = agreement([one.kept for one in found], depth)
        result["searches"] = [asdict(one) for one in found]
    return result


def _search(task: SearchTask, context: JobContext, number: int, count: int) -> _Found:
    """Search with one seed, and decide."""
    config = task.config
    folder = context.run.checkpoints / f"seed-{config.seed}" if config.seeds else context.run.checkpoints
    if context.main:
        folder.mkdir(exist_ok=True)
    message = f"seed {config.seed}" if count > 1 else ""
    run_loop(task, config, folder, _SeedRecorder(context, number * config.steps, config.steps, count, message))
    if config.decision == "perturbation":
        steps = config.steps * count
        context.progress(steps, steps, "deciding")
        batches = list(noised_batches(task.objective, task.data, _JUDGED, config.seed, task.device))
        kept = decide_by_perturbation(task, batches, lambda done, total: context.stop_here("resume it to decide"))
    else:
        kept = task.decision()
    scalars, vectors = mask_record(task.ema.module)
    verdict = task.verdict()
    return _Found(
        seed=config.seed,
        kept=kept,
        keep_probability={stack: vectors[f"keep/{stack}"] for stack in kept},
        confidence={n.removeprefix("confidence/"): v for n, v in scalars.items() if n.startswith("confidence/")},
        decided=verdict.decided,
        remarks=list(verdict.lines),
    )


def agreement(choices: list[Kept], depth: dict[str, int]) -> dict[str, Any]:
    """Which blocks, by name, all choices keep, which none keeps, and the share of the choices that keep the others."""
    names = block_names(depth)
    shares = {
        names[stack][i]: sum(i in kept[stack] for kept in choices) / len(choices)
        for stack, count in depth.items()
        for i in range(count)
    }
    return {
        "always": [name for name, share in shares.items() if share == 1],
        "never": [name for name, share in shares.items() if share == 0],
        "sometimes": {name: share for name, share in shares.items() if 0 < share < 1},
    }


def _consensus(task: SearchTask, found: list[_Found]) -> Kept:
    """The mask whose blocks the seeds kept most often; between equals their mean probabilities decide."""
    mask = task.ema.module
    votes = {
        stack: [
            sum(i in one.kept[stack] for one in found) / len(found)
            + 1e-3 * statistics.mean(one.keep_probability[stack][i] for one in found)
            for i in range(count)
        ]
        for stack, count in task.layout.depth.items()
    }
    mask.prefer(votes)
    return mask.decision()


def _shown(found: list[_Found]) -> dict[str, Any]:
    """How sure a search is, with its remarks; of several, the least sure and all remarks."""
    first, several = found[0], len(found) > 1
    remarks = [f"seed {one.seed}: {line}" if several else line for one in found for line in one.remarks]
    means = {
        stack: [statistics.mean(column) for column in zip(*(one.keep_probability[stack] for one in found), strict=True)]
        for stack in first.keep_probability
    }
    return {
        "confidence": [min(one.confidence[name] for one in found) for name in first.confidence],
        "keep_probability": means,
        "decided": all(one.decided for one in found),
        "remarks": remarks,
    }


@dataclass(frozen=True)
class _SeedRecorder:
    """Records one of `count` searches behind those before it, which took the steps `before`."""

    context: JobContext
    before: int
    steps: int
    count: int
    message: str

    def rewind(self, step: int) -> None:
        """Forget what this search recorded after `step`; what a later one has recorded stays."""
        self.context.rewind(self.before + step, self.before + self.steps)

    def record(self, step: int, record: StepRecord) -> None:
        """Store behind the earlier searches."""
        self.context.record(self.before + step, record)

    def progress(self, step: int, steps: int) -> None:
        """Steps of all searches together."""
        self.context.progress(self.before + step, self.count * steps, self.message)

    def should_stop(self) -> bool:
        """As the whole job."""
        return self.context.should_stop()


def _choose_way(task: SearchTask, context: JobContext) -> str:
    """Set the way in which gates run, the faster of two if that is left to us, and return it."""
    if task.config.skip != "auto":
        return task.config.skip
    choice = measured_once(context, "way", lambda: asdict(fastest_way(task.trial_steps())))
    task.way = choice["name"]
    return choice["name"]


def _block_seconds(config: SearchConfig, context: JobContext, full: ModelAndData) -> dict[str, list[float]] | None:
    """Measured time of every block per stack, if the budget is one of time."""
    if "time=" not in config.pattern:
        return None

    def measure() -> dict[str, list[float]]:
        model, rows = full.model, torch.arange(min(_TIMED, len(full.train)))
        x, y = (part.to(next(model.parameters()).device) for part in full.train.take(rows))
        draw = full.objective.draw(len(x), tuple(x.shape[1:]), step_generator(config.seed, 0)).to(x.device)
        return block_seconds(model.block_stacks(), lambda: full.objective.forward(model, x, y, draw))

    return measured_once(context, "block_seconds", measure)
