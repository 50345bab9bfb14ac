"""What the training loop needs of whatever is trained."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tinylab.training.recorder import StepRecord

__all__ = ["Task", "cosine", "set_rate"]


class Task(Protocol):
    """What is trained, and what one step of it is.

    Attributes:
        config: holds the batch size, the number of steps and, for tasks with a schedule, `warmup`.
        optimizer: moves the weights; its parameters are clipped together.
        modules: everything a checkpoint must hold beside the optimizer, all that is trained among it.
        device: where the loss is computed.
        peak_rate, floor: the largest learning rate, and the share of it that is left at the last step.

    A task may have some of these, too:
        model, teacher: `Denoiser`s whose blocks run as the config names: compiled, computed twice, in bfloat16.
        ema: the `Ema` of the model.
        leaves_parameters_out: True where a process may compute a step without some of the parameters.
    """

    config: Any
    optimizer: torch.optim.Optimizer
    modules: Mapping[str, nn.Module]
    device: torch.device
    peak_rate: float = 0.0
    floor: float = 0.0
    rate: float = 0.0  # of the step

    @property
    def images(self) -> int:
        """How many different images a step has, over all processes and micro-batches."""
        return self.config.batch_size

    def begin(self, step: int) -> None:
        """Set the learning rates of this step: a cosine, unless the task has another schedule."""
        config = self.config
        self.rate = self.peak_rate * cosine(step, config.steps, warmup=config.warmup, floor=self.floor)
        set_rate(self.optimizer, self.rate)

    @abstractmethod
    def batch(self, step: int, rows: slice) -> Any:
        """Some of the images of a step, on the CPU: a pure function that any thread may call, ahead of time."""

    @abstractmethod
    def loss(self, step: int, batch: Any) -> Tensor:
        """The mean loss of a batch on the device."""

    def after_update(self, step: int) -> None:
        """Averages and the like, after the optimizer moved."""
        return None

    @abstractmethod
    def record(self, step: int, loss: float) -> StepRecord:
        """What to keep of a logged step; the loop takes the means of its numbers over all processes."""


def cosine(step: int, steps: int, *, warmup: int, floor: float) -> float:
    """Learning-rate factor: linear warm-up to 1, then a half cosine down to `floor`."""
    if step < warmup:
        return (step + 1) / warmup
    # floor + (1 - floor) (1 + cos(pi s)) / 2 with s from 0 to 1 (Loshchilov & Hutter 2017, arXiv:1608.03983, equation
    # 5).
    share = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + torch.cos(torch.tensor(share * torch.pi)).item())


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter group the learning rate `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
