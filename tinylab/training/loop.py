"""The one training loop. Teachers, search and recovery differ in their task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tinylab.config import LoopConfig
from tinylab.errors import Failure, Stopped
from tinylab.training.checkpointing import latest_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from tinylab.training.recorder import Recorder, StepRecord

__all__ = ["Task", "cosine", "run_loop", "set_rate"]


class Task(Protocol):
    """What is trained, and what one step of it is."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What moves the weights; its parameters are clipped together."""
        ...

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Everything a checkpoint must hold beside the optimizer."""
        ...

    @property
    def images(self) -> int:
        """How many images a step looks at."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the loss is computed."""
        ...

    def begin(self, step: int) -> None:
        """Set the learning rates of this step."""
        ...

    def batch(self, step: int, rows: slice) -> Any:
        """Some of the images of a step, on the CPU: a pure function that any thread may call, ahead of time."""
        ...

    def loss(self, step: int, batch: Any) -> Tensor:
        """The mean loss of a batch on the device."""
        ...

    def after_update(self, step: int) -> None:
        """Averages and the like, after the optimizer moved."""
        ...

    def record(self, step: int, loss: float) -> StepRecord:
        """What to keep of a logged step."""
        ...


def run_loop(task: Task, config: LoopConfig, checkpoints: Path | None, recorder: Recorder) -> None:
    """Train `task` to `config.steps`, from its newest checkpoint if there is one.

    Every step draws from a generator of its own, seeded by (seed, step): a resumed run repeats the steps of
    one that was never stopped, bit for bit on a CPU. Without a folder for checkpoints none are made.

    Raises:
        Stopped: after saving, when the recorder says so.
        Failure: when the loss or a gradient is no longer a number; nothing is logged or saved of that.
    """
    first = _restore(task, checkpoints)
    recorder.rewind(first)
    parameters = [p for group in task.optimizer.param_groups for p in group["params"]]
    broken = torch.zeros((), dtype=torch.bool)
    for step in range(first, config.steps):
        task.begin(step)
        loss = task.loss(step, task.batch(step, slice(0, task.images)).to(task.device))
        task.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for parameter in parameters:
            if parameter.grad is None:  # a block that no sample used: to Adam that is a zero, not an absence
                parameter.grad = torch.zeros_like(parameter)
        norm = nn.utils.clip_grad_norm_(parameters, config.clip)
        # Clipping makes NaN of an infinite gradient, and the weights would be lost. The flag stays on the device and
        # is read only where the loss is, too: asking it at every step would make a GPU wait for the CPU.
        broken = broken.to(norm.device) | ~norm.isfinite()
        task.optimizer.step()
        task.after_update(step)
        done = step + 1
        if done % config.log_every == 0 or done == config.steps or step == 0:
            recorder.record(done, task.record(done, _finite(loss, broken, done)))
        recorder.progress(done, config.steps)
        stop = recorder.should_stop() and done < config.steps
        if stop or done % config.checkpoint_every == 0 or done == config.steps:
            _finite(loss, broken, done)
            _save(task, checkpoints, done)
        if stop:
            raise Stopped(f"stopped at step {done} of {config.steps}")


def cosine(step: int, steps: int, *, warmup: int, floor: float) -> float:
    """Learning-rate factor: linear warm-up to 1, then a half cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + torch.cos(torch.tensor(share * torch.pi)).item())


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def _finite(loss: Tensor, broken: Tensor, step: int) -> float:
    """The loss as a number; Failure if it is none, or if a gradient up to this step was none."""
    value = loss.item()
    if not math.isfinite(value):
        raise Failure(f"the loss is not a number at step {step}; start again with a lower learning rate")
    if broken.item():
        raise Failure(f"a gradient is not a number by step {step}; start again with a lower learning rate")
    return value


def _restore(task: Task, checkpoints: Path | None) -> int:
    checkpoint = latest_checkpoint(checkpoints) if checkpoints else None
    if checkpoint is None:
        return 0
    for name, module in task.modules.items():
        module.load_state_dict(checkpoint.part(name), strict=True)
    restore_optimizer(task.optimizer, checkpoint.part("optimizer"))
    return checkpoint.step


def _save(task: Task, checkpoints: Path | None, step: int) -> None:
    if checkpoints is None:
        return
    parts = {name: module.state_dict() for name, module in task.modules.items()}
    save_checkpoint(checkpoints, step, {**parts, "optimizer": optimizer_tensors(task.optimizer)})
