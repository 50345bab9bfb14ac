"""One recovery from beginning to end: warm start, then training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tinylab.config import FinetuneConfig
from tinylab.data.base import Dataset
from tinylab.diffusion import Objective
from tinylab.models.base import Denoiser
from tinylab.pruning.plan import DepthPlan
from tinylab.training.checkpointing import latest_checkpoint
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import run_loop
from tinylab.training.recorder import Recorder
from tinylab.training.recover import RecoverTask
from tinylab.training.warm_starts import WARM_STARTS, WarmUp

__all__ = ["recover"]


def recover(
    student: Denoiser,
    teacher: Denoiser,
    plan: DepthPlan,
    objective: Objective,
    data: Dataset,
    config: FinetuneConfig,
    *,
    checkpoints: Path | None,
    recorder: Recorder,
    warm_recorder: Recorder,
    on_step: Callable[[DenoiseTask, int], None] | None = None,
) -> Denoiser:
    """Train `student`, which `plan` cut from `teacher`, as `config` says; its averaged weights.

    Goes on from the newest checkpoint; the warm start, done by then, is not done again.

    Args:
        checkpoints: where they lie, None for none; those of the warm start in `warm-start/` below.
        recorder: told of the training.
        warm_recorder: told of the warm start, where it takes steps.
        on_step: called after every step of the training, for snapshots.
    """
    if checkpoints is None or latest_checkpoint(checkpoints) is None:
        below = checkpoints / "warm-start" if checkpoints else None
        given = WarmUp(student, teacher, plan, objective, data, config, below, warm_recorder)
        WARM_STARTS.get(config.warm_start)(given)
    task = RecoverTask(student, teacher, plan, objective, data, config, on_step=on_step)
    run_loop(task, config, checkpoints, recorder)
    return task.ema.module
