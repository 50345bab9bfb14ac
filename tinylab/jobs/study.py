"""Score every candidate right after pruning and after a short fine-tuning, in several processes."""

import random
from collections.abc import Sequence
from typing import Any

from tinylab.config import FinetuneConfig, StudyConfig
from tinylab.errors import BadRequest, Stopped
from tinylab.jobs.context import JobContext
from tinylab.jobs.facts import Facts, blocks_to_keep
from tinylab.jobs.finetune import RECOVERY_FLOOR
from tinylab.jobs.ground_truth import CANDIDATES, GroundTruth, recipe_of
from tinylab.jobs.model_and_data import ModelAndData
from tinylab.jobs.process_pool import work_through
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.pruning.exhaustive import CandidateTable, all_candidates, rank_correlation
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import run_loop
from tinylab.training.recorder import SilentRecorder

__all__ = ["run"]

Kept = tuple[str, ...]


def run(config: StudyConfig, context: JobContext) -> dict[str, Any]:
    """Fill the table of candidates, first with the losses after pruning; a resumed study goes on where it was."""
    keep = blocks_to_keep(config.keep, context.facts.model(config.model).depth)
    path = context.run.artifacts / CANDIDATES
    full = ModelAndData.load(config.model, config.data, config.device, context.facts)
    table = CandidateTable.load(path) if path.is_file() else _begun_table(config, full.model, keep)
    order = [row.kept for row in table.rows]
    random.Random(config.seed).shuffle(order)
    chosen = order[: config.finetune or len(order)]
    known = {row.kept for row in table.scored}, {row.kept for row in table.finetuned}
    cells = [(kept, False) for kept in order if kept not in known[0]]
    cells += [(kept, True) for kept in chosen if kept not in known[1]]
    _fill(table, cells, len(order) + len(chosen), config, context)
    return {"loss_full": full.loss(full.model), "keep": keep, **summary(table)}


def summary(table: CandidateTable) -> dict[str, Any]:
    """How many candidates there are, the best of them, and how well the loss after pruning foretells the one after
    fine-tuning (Spearman's rank correlation)."""
    done = table.finetuned
    before = [row.loss_pruned or 0.0 for row in done]
    after = [row.loss_finetuned or 0.0 for row in done]
    best = min(done, key=lambda row: row.loss_finetuned or 0.0)
    losses = {"loss_pruned": best.loss_pruned, "loss_finetuned": best.loss_finetuned}
    return {
        "candidates": len(table),
        "finetuned": len(done),
        "rank_correlation": rank_correlation(before, after),
        "best": {"kept": list(best.kept), **losses},
        "worst_loss_finetuned": max(after),
    }


def _begun_table(config: StudyConfig, model: Denoiser, keep: int) -> CandidateTable:
    """All candidates, with the losses of an earlier study if one is named."""
    table = CandidateTable(all_candidates(model.stack_depths(), keep, protected_blocks(model)))
    if config.known is not None:
        known = GroundTruth.open(config.known)
        if known.recipe != recipe_of(config, config.seed):
            raise BadRequest(f"{config.known} was made by another recipe; give the same options, or leave out --known")
        table.take_over(known.table)
    return table


def _fill(
    table: CandidateTable, cells: Sequence[tuple[Kept, bool]], total: int, config: StudyConfig, context: JobContext
) -> None:
    """Compute the cells (kept blocks, whether to fine-tune), storing the table after each."""
    path = context.run.artifacts / CANDIDATES
    table.save(path)
    done = total - len(cells)

    def on_done(cell: tuple[Any, ...], loss: float) -> None:
        nonlocal done
        kept, tuned = cell
        table.set(kept, loss, finetuned=tuned)
        table.save(path)
        done += 1

    complete = work_through(
        _Bench.loss,
        cells,
        make=_Bench,
        arguments=(config,),
        workers=config.workers,
        threads=config.threads,
        should_stop=context.should_stop,
        on_done=on_done,
        on_wait=lambda: context.progress(done, total, "fine-tuning" if done > len(table) else "scoring"),
    )
    if not complete:
        raise Stopped(f"stopped after {done} of {total} losses")


class _Bench:
    """What a process keeps between two candidates."""

    def __init__(self, config: StudyConfig) -> None:
        self.full = ModelAndData.load(config.model, config.data, config.device, Facts())
        shared = FinetuneConfig.model_fields.keys() & StudyConfig.model_fields.keys() - {"kind"}
        self.recipe = FinetuneConfig.create(**{name: getattr(config, name) for name in shared})

    def loss(self, kept: Kept, tuned: bool) -> float:
        """Held-out loss of the model with only the `kept` blocks, fine-tuned or not."""
        full = self.full
        model = apply_plan(full.model, DepthPlan.of(kept, full.model.stack_depths(), "study"))
        if tuned:
            task = DenoiseTask(model, full.objective, full.train, self.recipe, floor=RECOVERY_FLOOR)
            run_loop(task, self.recipe, None, SilentRecorder())
            model = task.ema.module
        return full.loss(model)
