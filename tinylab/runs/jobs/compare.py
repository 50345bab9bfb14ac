"""Prune one model by several methods, fine-tune each by one recipe, and measure all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tinylab.config import CompareConfig
from tinylab.data.base import Dataset, load_data
from tinylab.data.order import step_generator
from tinylab.diffusion import Objective, objective_for
from tinylab.errors import Stopped
from tinylab.metrics.cost import count_parameters, interleaved_seconds
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.base import Denoiser
from tinylab.models.load import load_model, save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.cards import shallow_card
from tinylab.runs.checks import blocks_compared, data_for
from tinylab.runs.choosing import choose_plan
from tinylab.runs.context import JobContext
from tinylab.runs.jobs.finetune import RECOVERY_FLOOR
from tinylab.runs.store import find_plan
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import run_loop
from tinylab.training.recorder import StepRecord

__all__ = ["run"]


@dataclass(frozen=True)
class _Shared:
    """What every cell is measured against."""

    config: CompareConfig
    context: JobContext
    model: Denoiser
    objective: Objective
    train: Dataset
    held_out: Dataset


def run(config: CompareConfig, context: JobContext) -> dict[str, Any]:
    """One row a method, in the run's result as soon as it is there; rows that are there are not computed again."""
    model = load_model(config.model, config.device)
    data = data_for(config.data, config.model)
    shared = _Shared(config, context, model, objective_for(model), *load_data(data))
    given = [_begun_with(context, i, partial(find_plan, reference)) for i, reference in enumerate(config.plans)]
    labels = _labels(config, given)
    depth = model.stack_depths()
    keep = blocks_compared(config, given, depth)
    rows: list[dict[str, Any]] = context.run.result().get("rows", [])
    full = {
        "loss": held_out_loss(model, shared.objective, shared.held_out).loss,
        "parameters": count_parameters(model),
        "depth": depth,
    }
    result = {"full": full, "rows": rows, "keep": keep}
    for index, label in enumerate(labels):
        if index < len(rows):
            continue
        context.progress(index * _cell_steps(config), len(labels) * _cell_steps(config), f"{label}: choosing layers")
        plan = _begun_with(context, index, partial(_choose, shared, label, keep))
        rows.append(_row(shared, index, len(labels), label, plan, full))
        context.run.write_result(result)
        if context.should_stop() and index + 1 < len(labels):
            raise Stopped(f"stopped after {index + 1} of {len(labels)} methods")
    return result


def _begun_with(context: JobContext, index: int, choose: Callable[[], DepthPlan]) -> DepthPlan:
    """The plan of a cell, chosen once: a resumed job finds it beside the checkpoints, which fit no other."""
    kept = context.run.checkpoints / f"{index}" / "plan.json"
    if kept.is_file():
        return DepthPlan.load(kept)
    plan = choose()
    kept.parent.mkdir(exist_ok=True)
    plan.save(kept)
    return plan


def _labels(config: CompareConfig, plans: Sequence[DepthPlan]) -> list[str]:
    """What the rows are called, the plans first; plans whose method occurs twice are told apart by where they lie."""
    plain = [*(plan.method for plan in plans), *config.methods]
    labels: list[str] = []
    for plan, reference in zip(plans, config.plans, strict=True):
        path = Path(reference)
        name = f"{path.parent.name}/{path.name}" if path.suffix == ".json" else path.name
        label = f"{plan.method} ({name})" if plain.count(plan.method) > 1 else plan.method
        same = sum(other.split(" #")[0] == label for other in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return [*labels, *config.methods]


def _cell_steps(config: CompareConfig) -> int:
    return max(1, config.steps)


def _choose(shared: _Shared, method: str, keep: int) -> DepthPlan:
    config = shared.config

    def progress(done: int, total: int) -> None:
        shared.context.stop_here("resume it to go on with this method")

    return choose_plan(
        method,
        shared.model,
        shared.objective,
        shared.train,
        name=config.model,
        keep=keep,
        seed=config.seed,
        samples=config.samples,
        progress=progress,
    )


def _row(shared: _Shared, index: int, count: int, label: str, plan: DepthPlan, full: dict[str, Any]) -> dict[str, Any]:
    """Measure one cell: losses before and after fine-tuning, size, and speed beside the full model."""
    shallow = apply_plan(shared.model, plan)
    before = held_out_loss(shallow, shared.objective, shared.held_out)
    speed = _speedup(shared, shallow)
    recovered = _finetune(shared, shallow, index, count, label) if shared.config.steps else shallow
    after = held_out_loss(recovered, shared.objective, shared.held_out)
    folder = shared.context.run.path / "models" / f"{index}"
    scores = {"loss_full": full["loss"], "loss_pruned": before.loss}
    scores |= {"loss_finetuned": after.loss} if shared.config.steps else {}
    tuned = shared.config if shared.config.steps else None
    save_model(recovered, folder, card=shallow_card(plan, recovered=tuned, scores=scores))
    plan.save(folder / "plan.json")
    return {
        "method": label,
        "kept": {stack: list(indices) for stack, indices in plan.kept.items()},
        "loss_pruned": before.loss,
        "loss_finetuned": after.loss if shared.config.steps else None,
        "speedup": speed,
        "parameters": count_parameters(shallow),
        "parameters_share": count_parameters(shallow) / full["parameters"],
        "model": f"models/{index}",
    }


def _finetune(shared: _Shared, shallow: Denoiser, index: int, count: int, label: str) -> Denoiser:
    task = DenoiseTask(shallow, shared.objective, shared.train, shared.config, floor=RECOVERY_FLOOR)
    recorder = _CellRecorder(shared.context, index, count, label, _cell_steps(shared.config))
    run_loop(task, shared.config, shared.context.run.checkpoints / f"{index}", recorder)
    return task.ema.module


@dataclass(frozen=True)
class _CellRecorder:
    """Records one cell's training under `LABEL/…`, and its place in the whole as progress."""

    context: JobContext
    index: int
    count: int
    label: str
    steps: int

    def rewind(self, step: int) -> None:
        """Equal steps of a resumed cell replace the old ones; nothing has to go."""

    def record(self, step: int, record: StepRecord) -> None:
        """Store under the method's name."""
        self.context.record(step, StepRecord({f"{self.label}/{k}": v for k, v in record.scalars.items()}))

    def progress(self, step: int, steps: int) -> None:
        """Steps of all cells together."""
        total = self.count * self.steps
        self.context.progress(self.index * self.steps + step, total, f"{self.label}: fine-tuning")

    def should_stop(self) -> bool:
        """As the whole job."""
        return self.context.should_stop()


def _speedup(shared: _Shared, shallow: Denoiser) -> float:
    """Full model's time for a forward pass over the shallow model's: median of the ratios of passes in turn."""
    count, device = min(64, len(shared.held_out)), next(shallow.parameters()).device
    x, y = (part.to(device) for part in shared.held_out.take(torch.arange(count)))
    draw = shared.objective.draw(count, tuple(x.shape[1:]), step_generator(0, 0)).to(device)

    def forward(model: Denoiser):
        with torch.inference_mode():
            return shared.objective.forward(model, x, y, draw)

    work = {"full": lambda: forward(shared.model), "shallow": lambda: forward(shallow)}
    interleaved_seconds(work, rounds=2)  # warm-up
    seconds = interleaved_seconds(work, rounds=51)
    return statistics.median(f / s for f, s in zip(seconds["full"], seconds["shallow"], strict=True))
