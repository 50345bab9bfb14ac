"""Every block of the student learns by itself what its span does in the teacher (PPCL: arXiv:2511.16156).

A block gets the teacher's input of its span and learns the teacher's output of it, so no error of an earlier
block reaches a later one. The error of a span is measured in shares of how far the teacher moves the hidden state
there: 0 is the whole span, 1 is what doing nothing would leave. So a span in the deep layers, where states are large,
counts no more than one in the first, however much of a state merely passes through. The shares are measured once,
before the first step, so that they are the same for every part of a step and after a resume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.metrics.denoising import NoisedBatch
from tinylab.models.adapters.adapted import AdaptedTransformer
from tinylab.pruning.plan import block_names
from tinylab.training.batches import TrainBatch, denoise_batch
from tinylab.training.loop import run_loop
from tinylab.training.recorder import StepRecord
from tinylab.training.task import Task
from tinylab.training.warm_starts.base import WarmUp
from tinylab.training.warm_starts.calibration import Call, calibration_batches, watched

__all__ = ["AlignTask", "Lesson", "lessons", "start"]

_LEAST_MOVE = 1e-12  # squared; a span that moves nothing has nothing to teach


@dataclass(frozen=True)
class Lesson:
    """A span with removed blocks.

    Attributes:
        name: what people call the block that stays.
        student: the student's block that stands for the span.
        first, kept, last: the teacher's blocks where it begins and ends, and the one that stays.
    """

    name: str
    student: nn.Module
    first: nn.Module
    kept: nn.Module
    last: nn.Module

    def error(self, calls: Mapping[nn.Module, Call]) -> Tensor:
        """Mean squared error of the block's output for the teacher's input, (); its conditions are those of `kept`."""
        condition = calls[self.kept]
        output = self.student(calls[self.first].args[0], *condition.args[1:], **condition.kwargs)
        return _distance(output, calls[self.last].output)

    def move(self, calls: Mapping[nn.Module, Call]) -> Tensor:
        """Mean squared change of the hidden state over the span, ()."""
        return _distance(calls[self.last].output, calls[self.first].args[0])


def start(given: WarmUp) -> None:
    """Train the blocks whose spans hold removed ones for `warm_steps`, resuming from `given.checkpoints`.

    The blocks learn at the rate, on the schedule and with the batches of the fine-tuning. Where nothing was removed,
    nothing happens.

    Raises:
        BadRequest: the model is a transformer of diffusers.
        Stopped: after saving, when the recorder asks for it.
        Failure: the error is no longer a number.
    """
    if isinstance(given.teacher, AdaptedTransformer):
        raise BadRequest(
            f"the warm start align knows DiT, SiT and MAR, not a {type(given.teacher.transformer).__name__}; "
            "use --warm-start none or mean"
        )
    found = lessons(given)
    if found:
        task = AlignTask(given, found)
        run_loop(task, task.config, given.checkpoints, given.recorder)


def lessons(given: WarmUp) -> list[Lesson]:
    """The spans with removed blocks; the first one of a stack begins at block 0."""
    taught, names, found = given.teacher.block_stacks(), block_names(given.plan.depth), []
    for stack, index, block, span in given.merged(covering=True):
        first, middle, last = (taught[stack][i] for i in (span[0], index, span[-1]))
        found.append(Lesson(names[stack][index], block, first, middle, last))
    return found


class AlignTask(Task):
    """All lessons at once, from one pass of the teacher a step. Embedders, head and other blocks stay as they are."""

    def __init__(self, given: WarmUp, found: Sequence[Lesson]) -> None:
        self.given, self.lessons = given, found
        self.config = given.config.model_copy(update={"steps": given.config.warm_steps})
        self.peak_rate, self.floor = given.config.rate, given.config.lr_floor
        self.model, self.teacher = given.student, given.teacher.eval()
        self.device = next(given.teacher.parameters()).device
        blocks = nn.ModuleList(lesson.student for lesson in found)
        trainable = [p for p in blocks.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trainable, lr=self.peak_rate, weight_decay=0.0, fused=True)
        self.modules = {"blocks": blocks}
        self._watched = [block for lesson in found for block in (lesson.first, lesson.kept, lesson.last)]
        self.moves = self._moves()  # (lessons,)
        self._errors: list[Tensor] = []  # of the parts of a step

    def begin(self, step: int) -> None:
        """Set the learning rate of the step."""
        super().begin(step)
        self._errors = []

    def batch(self, step: int, rows: slice) -> TrainBatch:
        """Some of the images of a step, classes dropped."""
        return denoise_batch(
            self.given.data,
            self.given.objective,
            seed=self.config.seed,
            step=step,
            images=self.images,
            rows=rows,
            null_class=self.teacher.num_classes,
            label_dropout=self.config.label_dropout,
        )

    def loss(self, step: int, batch: TrainBatch) -> Tensor:
        """The mean over lessons of the error as a share of the span's move."""
        calls = self._teacher_calls(batch)
        # Mean over spans of E|f(h_in) - h_out|^2 / E|h_out - h_in|^2, all h from the teacher.
        errors = torch.stack([lesson.error(calls) for lesson in self.lessons]) / self.moves
        self._errors.append(errors.detach())
        return errors.mean()

    def record(self, step: int, loss: float) -> StepRecord:
        """The mean share as `loss`, that of every span as `span/BLOCK`, and the learning rate."""
        shares = torch.stack(self._errors).mean(dim=0).tolist()
        spans = {f"span/{lesson.name}": share for lesson, share in zip(self.lessons, shares, strict=True)}
        return StepRecord({"loss": loss, **spans, "lr": self.rate})

    @torch.no_grad()
    def _teacher_calls(self, batch: TrainBatch | NoisedBatch) -> dict[nn.Module, Call]:
        """The calls of the teacher's blocks for a batch."""
        with watched(self._watched) as calls:
            self.given.objective.forward(self.teacher, batch.x, batch.y, batch.draw)
        return calls

    @torch.no_grad()
    def _moves(self) -> Tensor:
        """How far each span moves the hidden state, a mean over the calibration images."""
        total, images = torch.zeros(len(self.lessons), device=self.device), 0
        for batch in calibration_batches(self.given):
            calls = self._teacher_calls(batch)
            total += len(batch.x) * torch.stack([lesson.move(calls) for lesson in self.lessons])
            images += len(batch.x)
        return (total / images).clamp(min=_LEAST_MOVE)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b.float()).square().mean()
