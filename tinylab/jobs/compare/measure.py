"""What a choice of blocks is worth: losses before and after fine-tuning, size and speed."""

import shutil
import statistics
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from tinylab.config import CompareConfig
from tinylab.data.order import step_generator
from tinylab.files import atomic
from tinylab.jobs.cards import shallow_card
from tinylab.jobs.compare.cell import Cell, CellResult
from tinylab.jobs.context import JobContext
from tinylab.jobs.finetune import RECOVERY_FLOOR
from tinylab.jobs.model_and_data import ModelAndData
from tinylab.jobs.part_recorder import PartRecorder
from tinylab.metrics.cost import count_parameters, interleaved_seconds
from tinylab.models.base import Denoiser
from tinylab.models.load import save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import run_loop

__all__ = ["Bench", "measure"]

_ROUNDS = 51  # forward passes that a speed is the median of


class Bench:
    """The full model with its data, and the job that they serve."""

    def __init__(self, config: CompareConfig, context: JobContext) -> None:
        self.config, self.context = config, context
        self.full = ModelAndData.load(config.model, config.data, config.device, context.facts)

    @cached_property
    def full_loss(self) -> float:
        """The full model's loss on held-out data."""
        return self.full.loss(self.full.model)

    def speedup(self, shallow: Denoiser) -> float:
        """Full model's time for a forward pass over the shallow one's: median of the ratios of passes in turn."""
        count, device = min(64, len(self.full.held_out)), next(shallow.parameters()).device
        x, y = (part.to(device) for part in self.full.held_out.take(torch.arange(count)))
        draw = self.full.objective.draw(count, tuple(x.shape[1:]), step_generator(0, 0)).to(device)

        def forward(model: Denoiser) -> object:
            with torch.inference_mode():
                return self.full.objective.forward(model, x, y, draw)

        work = {"full": lambda: forward(self.full.model), "shallow": lambda: forward(shallow)}
        interleaved_seconds(work, rounds=2)  # warm-up
        seconds = interleaved_seconds(work, rounds=_ROUNDS)
        return statistics.median(f / s for f, s in zip(seconds["full"], seconds["shallow"], strict=True))


def measure(
    bench: Bench,
    cell: Cell,
    plan: DepthPlan,
    done: Mapping[Cell, CellResult],
    *,
    seconds_choosing: float | None,
    total: int,
) -> CellResult:
    """Measure one cell, and save the model of a row's first.

    What another cell has measured of the same blocks is taken over: everything if its seed is the same, too.
    """
    same = {other: result for other, result in done.items() if result.kept == dict(plan.kept)}
    twin = next((other for other in same if other.seed == cell.seed), None)
    if twin is not None:
        result = replace(same[twin], seconds_choosing=seconds_choosing)
        if cell.first:
            _save(bench, cell, plan, result, _models(bench) / f"{twin.row}")
        return result
    shallow = apply_plan(bench.full.model, plan)
    known = next(iter(same.values()), None)
    result = CellResult(
        kept=dict(plan.kept),
        loss_pruned=known.loss_pruned if known else bench.full.loss(shallow),
        loss_finetuned=None,
        speedup=known.speedup if known else bench.speedup(shallow),
        parameters=count_parameters(shallow),
        seconds_choosing=seconds_choosing,
    )
    if cell.steps:
        shallow = _finetune(bench, cell, shallow, total)
        result = replace(result, loss_finetuned=bench.full.loss(shallow))
    if cell.first:
        _save(bench, cell, plan, result, shallow)
    return result


def _finetune(bench: Bench, cell: Cell, shallow: Denoiser, total: int) -> Denoiser:
    config = bench.config.model_copy(update={"seed": cell.seed})
    task = DenoiseTask(shallow, bench.full.objective, bench.full.train, config, floor=RECOVERY_FLOOR)
    before = cell.before + cell.search_steps
    recorder = PartRecorder(bench.context, cell.name, f"{cell.name}: fine-tuning", before, total)
    run_loop(task, config, cell.folder / "tuning", recorder)
    return task.ema.module


def _models(bench: Bench) -> Path:
    return bench.context.run.path / "models"


def _save(bench: Bench, cell: Cell, plan: DepthPlan, result: CellResult, model: Denoiser | Path) -> None:
    """Write `models/ROW`: a model, or a copy of the folder of one that is the same, each with its own card."""
    scores = {"loss_full": bench.full_loss, "loss_pruned": result.loss_pruned}
    recovered = None
    if result.loss_finetuned is not None:
        scores["loss_finetuned"] = result.loss_finetuned
        recovered = bench.config.model_copy(update={"seed": cell.seed})
    card, folder = shallow_card(plan, recovered=recovered, scores=scores), _models(bench) / f"{cell.row}"
    if isinstance(model, Path):
        with atomic.new_folder(folder) as temporary:
            shutil.copytree(model, temporary, dirs_exist_ok=True)
            (temporary / "README.md").write_text(card)
    else:
        save_model(model, folder, card=card)
    plan.save(folder / "plan.json")
