"""What the training loop needs of whatever is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tinylab.training.recorder import StepRecord

__all__ = ["Task"]


class Task(Protocol):
    """What is trained, and what one step of it is.

    A task may have some of these, too:
        model, teacher: `Denoiser`s whose blocks run as the config names: compiled, computed twice, in bfloat16.
        ema: the `Ema` of the model.
        leaves_parameters_out: True where a process may compute a step without some of the parameters.
    """

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """What moves the weights; its parameters are clipped together."""
        ...

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """Everything a checkpoint must hold beside the optimizer, all that is trained among it."""
        ...

    @property
    def images(self) -> int:
        """How many images a step has, over all processes and micro-batches."""
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
        """What to keep of a logged step; the loop takes the means of its numbers over all processes."""
        ...
