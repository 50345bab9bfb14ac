"""What an objective offers to training, scoring and sampling."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from tinylab.diffusion.gaussian import GaussianDiffusion, Losses

__all__ = ["Objective"]


class Objective(Protocol):
    """A noising process and the loss of a model that undoes it."""

    num_steps: int

    def draw(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Times (N,) and noise (N, *shape) of a training step."""
        ...

    def training_losses(self, model: nn.Module, x: Tensor, t: Tensor, y: Tensor, noise: Tensor) -> Losses:
        """Per-sample losses of clean images x (N, C, H, W)."""
        ...

    def q_sample(self, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The noised images that the model sees."""
        ...

    def respaced(self, count: int) -> GaussianDiffusion:
        """The chain a sampler walks back in `count` steps."""
        ...
