"""The one training loop. Teachers, search and recovery differ in their task."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from tinylab.config import LoopConfig
from tinylab.errors import Failure, Stopped
from tinylab.training.checkpointing import (
    gathered,
    latest_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    tidy,
)
from tinylab.training.engine import Engine, engine_for
from tinylab.training.precision import configured, models_of
from tinylab.training.prefetch import Reader, prefetch
from tinylab.training.recorder import Recorder
from tinylab.training.task import Task

__all__ = ["LoopTimes", "run_loop"]


@dataclass(frozen=True)
class LoopTimes:
    """How long a training took by the clock, in this process and since it was last resumed.

    Attributes:
        steps: how many steps were taken.
        seconds: from before the first one to after the last one, records and checkpoints included.
        waited: seconds of these in which the loop waited for a batch.
    """

    steps: int
    seconds: float
    waited: float

    def since(self, earlier: LoopTimes) -> dict[str, float]:
        """Seconds a step and the share of waiting from an earlier moment to this one."""
        seconds = self.seconds - earlier.seconds
        return {
            "seconds": seconds / max(1, self.steps - earlier.steps),
            "data_wait": (self.waited - earlier.waited) / seconds if seconds else 0.0,
        }


def run_loop(task: Task, config: LoopConfig, checkpoints: Path | None, recorder: Recorder) -> LoopTimes:
    """Train `task` to `config.steps`, from its newest checkpoint if there is one.

    Every step draws from a generator of its own, seeded by (seed, step): a resumed run repeats the steps of
    one that was never stopped, bit for bit on a CPU. Without a folder for checkpoints none are made.

    Where several processes are at the job, each calls this and computes its share of every step; the main one saves.

    Raises:
        BadRequest: the batch falls into no equal shares, or the task cannot run with this config.
        Stopped: after saving, when the recorder of any process asks for it.
        Failure: when the loss or a gradient is no longer a number; nothing is logged or saved of that.
    """
    checkpoint = latest_checkpoint(checkpoints) if checkpoints else None
    if checkpoint is not None:
        for name, module in task.modules.items():
            module.load_state_dict(checkpoint.part(name), strict=True)
    with ExitStack() as undo:
        engine = undo.enter_context(engine_for(task, config))
        first = engine.team.same(checkpoint.step if checkpoint else 0, "the step to go on from")
        if checkpoints and engine.main:
            tidy(checkpoints, first)
        if checkpoint is not None:  # by now weights may be spread, and the optimizer knows of it
            restore_optimizer(task.optimizer, checkpoint.part("optimizer"))
        recorder.rewind(first)
        undo.enter_context(configured(models_of(task), config))
        keys = ((step, rows) for step in range(first, config.steps) for rows in engine.rows)
        reader = undo.enter_context(prefetch(task.batch, keys, workers=config.workers, device=task.device))
        training = _Training(task, config, engine, reader, recorder, checkpoints)
        for step in range(first, config.steps):
            training.step(step)
            training.report(step + 1)
        _bring_up_to_date(task)
        return training.times()


class _Training:
    """The steps of one run of the loop, and what is done between them."""

    def __init__(
        self,
        task: Task,
        config: LoopConfig,
        engine: Engine,
        reader: Reader,
        recorder: Recorder,
        checkpoints: Path | None,
    ) -> None:
        self.task, self.config, self.engine, self.reader = task, config, engine, reader
        self.recorder, self.checkpoints = recorder, checkpoints
        self.broken = torch.zeros((), dtype=torch.bool)
        self.steps, self.began = 0, time.perf_counter()
        self.reported = LoopTimes(0, 0.0, 0.0)

    def step(self, step: int) -> None:
        """One update of the weights."""
        self.task.begin(step)
        self.loss = self.engine.backward(step, self.reader)
        self.norm = self.engine.clip(self.config.clip)
        # Clipping makes NaN of an infinite gradient, and the weights would be lost. The flag stays on the device and
        # is read only where the loss is, too: asking it at every step would make a GPU wait for the CPU.
        self.broken = self.broken.to(self.norm.device) | ~self.norm.isfinite()
        self.engine.update()
        self.task.after_update(step)
        self.steps += 1

    def report(self, done: int) -> None:
        """Records, a checkpoint or the end, as far as they are due after `done` steps."""
        config, last = self.config, done == self.config.steps
        logged = done % config.log_every == 0 or last or done == 1
        saved = done % config.checkpoint_every == 0 or last
        if logged:
            self._record(done)
        self.recorder.progress(done, config.steps)
        stop = not last and self._asked_to_stop(at_rest=logged or saved)
        if stop or saved:
            _finite(self.engine.team.mean([self.loss.item()])[0], self.broken, done)
            self._save(done)
        if stop:
            raise Stopped(f"stopped at step {done} of {config.steps}")

    def times(self) -> LoopTimes:
        """The clock now."""
        return LoopTimes(self.steps, time.perf_counter() - self.began, self.reader.waited)

    def _asked_to_stop(self, *, at_rest: bool) -> bool:
        """Whether all processes stop here. On GPUs several only ask each other where they wait for them anyway."""
        if self.engine.team.size > 1 and self.task.device.type != "cpu" and not at_rest:
            return False
        return self.engine.team.any(self.recorder.should_stop())

    def _record(self, done: int) -> None:
        loss = self.loss.item()
        record = self.task.record(done, loss)
        loss, norm, *values = self.engine.team.mean([loss, self.norm.item(), *record.scalars.values()])
        _finite(loss, self.broken, done)
        scalars = {**dict(zip(record.scalars, values, strict=True)), "grad_norm": norm}
        now = self.times()
        self.recorder.record(done, replace(record, scalars=scalars, times=now.since(self.reported)))
        self.reported = now

    def _save(self, done: int) -> None:
        if self.checkpoints is None:
            return
        _bring_up_to_date(self.task)
        parts = {name: module.state_dict() for name, module in self.task.modules.items()}
        parts["optimizer"] = optimizer_tensors(self.task.optimizer)
        parts = gathered(parts, keep=self.engine.main)
        if self.engine.main:
            save_checkpoint(self.checkpoints, done, parts)
        self.engine.team.wait()  # whoever looks for a checkpoint from now on finds this one


def _bring_up_to_date(task: Task) -> None:
    """Have the averaged weights whole in their module, where they are spread over processes."""
    ema = getattr(task, "ema", None)
    if ema is not None:
        ema.gather()


def _finite(loss: float, broken: Tensor, step: int) -> None:
    """Failure if the loss is no number, or if a gradient up to this step was none."""
    if not math.isfinite(loss):
        raise Failure(f"the loss is not a number at step {step}; start again with a lower learning rate")
    if broken.item():
        raise Failure(f"a gradient is not a number by step {step}; start again with a lower learning rate")
