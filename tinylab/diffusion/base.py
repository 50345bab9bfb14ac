"""What an objective offers to training, scoring and sampling, whatever the family of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

__all__ = ["Comparison", "Draw", "Losses", "Objective", "even_times"]


@dataclass(frozen=True)
class Draw:
    """Everything random about a batch of N images.

    Attributes:
        t: times of the noising, (N,); where an image holds several noised copies of its tokens, (N, copies, T).
        noise: standard Gaussian noise, one axis more than `t` or the shape of the images.
        mask: 1 for the tokens that are hidden, (N, T); None for families that hide none.
    """

    t: Tensor
    noise: Tensor
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, rows: slice) -> Draw:
        """The part that belongs to some of the images."""
        return Draw(self.t[rows], self.noise[rows], None if self.mask is None else self.mask[rows])

    def to(self, device: torch.device) -> Draw:
        """The same on another device."""
        return Draw(self.t.to(device), self.noise.to(device), None if self.mask is None else self.mask.to(device))


@dataclass(frozen=True)
class Losses:
    """Per-sample loss terms, each (N,): `loss` = `mse` + `vb`. `vb` is in bits per dimension, 0 where there is none."""

    loss: Tensor
    mse: Tensor
    vb: Tensor


@dataclass(frozen=True)
class Comparison:
    """The losses of a student on some noised images: `task_loss`, its own, and `teacher_loss`, the same terms with the
    teacher's output in place of the target."""

    task_loss: Losses
    teacher_loss: Losses


class Objective(Protocol):
    """A noising process and the loss of a model that undoes it."""

    @classmethod
    def of(cls, config: Any) -> Objective:
        """The objective that a model with this config is trained with."""
        ...

    def draw(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        """What a training step draws at random for `count` images of shape (C, H, W)."""
        ...

    def evaluation_draws(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> list[Draw]:
        """Draws for `count` images in all, in chunks; times (or shares of hidden tokens) are spread evenly."""
        ...

    def forward(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Tensor:
        """Run the network on images x (N, C, H, W) as training does, without a loss."""
        ...

    def clean_forward(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Tensor:
        """Run the network on clean images x (N, C, H, W) with nothing hidden, although it takes times.

        So the published ShortGPT scoring of DiTs was run. Training never has such pairs: this serves comparisons
        with that scoring, nothing else.
        """
        ...

    def losses(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Losses:
        """Per-sample losses of clean images x (N, C, H, W) with classes y (N,)."""
        ...

    def compare(self, student: nn.Module, teacher: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Comparison:
        """Run both models once on the same noised images; only the student's output has gradients."""
        ...


def even_times(count: int, generator: torch.Generator) -> Tensor:
    """`count` numbers in [0, 1), one in each of as many equal intervals, in random order."""
    # (pi(i) + u_i) / n: each time is uniform on [0, 1), and their mean has far less variance than that of n independent
    # ones (stratified sampling).
    return (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
