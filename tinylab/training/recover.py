"""Training a cut model on, taught by the model that it was cut from."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.config.choices import LOSSES, WARM_STARTS
from tinylab.data.base import Dataset
from tinylab.diffusion import Draw, Objective
from tinylab.models.base import Denoiser
from tinylab.pruning.plan import DepthPlan
from tinylab.training.batches import TrainBatch
from tinylab.training.checkpointing import latest_checkpoint
from tinylab.training.denoise import DenoiseTask
from tinylab.training.hidden_states import hidden_states
from tinylab.training.layer_maps import layer_map
from tinylab.training.loop import run_loop
from tinylab.training.losses import Outputs, RecoveryLoss
from tinylab.training.recorder import Recorder
from tinylab.training.warm_starts.base import WarmUp

__all__ = ["RecoverTask", "recover", "forward_pair"]


class RecoverTask(DenoiseTask):
    """As `DenoiseTask`, with the loss that the config names.

    Args:
        student: the cut model, which is trained.
        teacher: the model that `plan` cut it from, in eval mode; it is left as it is.

    Raises:
        BadRequest: the layer map does not fit the plan.
    """

    def __init__(
        self,
        student: Denoiser,
        teacher: Denoiser,
        plan: DepthPlan,
        objective: Objective,
        data: Dataset,
        config: FinetuneConfig,
        *,
        on_step: Callable[[DenoiseTask, int], None] | None = None,
    ) -> None:
        super().__init__(student, objective, data, config, floor=config.lr_floor, rate=config.rate, on_step=on_step)
        self.teacher, self.recipe = teacher.eval().requires_grad_(False), config
        self.rule: RecoveryLoss = LOSSES.get(config.loss)
        self.needs = LOSSES.entry(config.loss).needs
        self.pairs = layer_map(plan, config.layer_map) if self.needs == "states" else []

    def loss(self, step: int, batch: TrainBatch) -> Tensor:
        """The mean loss of the batch, by the weights of this step."""
        teacher = None if self.needs == "images" else self.teacher
        outputs = forward_pair(self.model, teacher, self.objective, batch.x, batch.y, batch.draw, self.pairs)
        terms = self.rule(outputs, step / self.recipe.steps, self.recipe)
        self.note(terms.parts)
        return terms.loss.mean()


def forward_pair(
    student: Denoiser,
    teacher: Denoiser | None,
    objective: Objective,
    x: Tensor,
    y: Tensor,
    draw: Draw,
    pairs: Sequence[tuple[str, int, int]] = (),
) -> Outputs:
    """One forward pass of each model on the same noised images x (N, C, H, W) of classes y (N,).

    Args:
        teacher: None for a loss that needs the images alone.
        pairs: (stack, block of the student, block of the teacher) whose outputs are kept.
    """
    if teacher is None:
        return Outputs(objective.losses(student, x, y, draw))
    with ExitStack() as hooks:
        learned = hooks.enter_context(hidden_states(student, [(stack, i) for stack, i, _ in pairs]))
        taught = hooks.enter_context(hidden_states(teacher, [(stack, i) for stack, _, i in pairs]))
        found = objective.compare(student, teacher, x, y, draw)
    return Outputs(found.task_loss, found.teacher_loss, learned, taught)


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
    """Train `student`, which `plan` cut from `teacher`, by `config`; its averaged weights.

    Goes on from the newest checkpoint; the warm start, done by then, is not done again.

    Args:
        checkpoints: where they lie, None for none; those of the warm start in `warm-start/` below.
        recorder: gets the steps of the training.
        warm_recorder: gets those of the warm start, where it takes steps.
        on_step: called after every step of the training, for snapshots.
    """
    if checkpoints is None or latest_checkpoint(checkpoints) is None:
        below = checkpoints / "warm-start" if checkpoints else None
        given = WarmUp(student, teacher, plan, objective, data, config, below, warm_recorder)
        WARM_STARTS.get(config.warm_start)(given)
    task = RecoverTask(student, teacher, plan, objective, data, config, on_step=on_step)
    run_loop(task, config, checkpoints, recorder)
    return task.ema.module
