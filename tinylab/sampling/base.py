"""What every sampler is given: a model, classes, settings, and noise that belongs to single images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from tinylab.data.order import step_generator
from tinylab.diffusion import Objective
from tinylab.models.base import Denoiser

__all__ = ["Sampling", "GivenNoise", "ImageNoise", "NoiseSource", "Settings"]


@dataclass(frozen=True)
class Settings:
    """How to sample. Guidance 1 switches classifier-free guidance off and halves the work.

    Attributes:
        sampler: a name in `SAMPLERS`, or auto for the default of the model's family.
        steps: denoising steps; for masked tokens the number of rounds, at most one a token.
        schedule: guidance over the rounds of masked tokens; auto is their published linear growth.
        temperature: factor on the noise of masked tokens.
    """

    sampler: str = "auto"
    steps: int = 50
    guidance: float = 1.5
    seed: int = 0
    schedule: Literal["auto", "constant", "linear"] = "auto"
    temperature: float = 1.0


class NoiseSource(Protocol):
    """Where a sampler takes its randomness from."""

    def normal(self, *shape: int) -> Tensor:
        """Standard Gaussian noise for every image, (N, *shape)."""
        ...

    def order(self, count: int) -> Tensor:
        """A random order of `count` things for every image, (N, count)."""
        ...


class ImageNoise:
    """Noise for images `first`, `first + 1`, …: each has a generator of its own, so no image depends on its batch."""

    def __init__(self, count: int, seed: int, first: int) -> None:
        self.generators = [step_generator(seed, first + i, stream=3) for i in range(count)]

    def normal(self, *shape: int) -> Tensor:
        """The next noise of every image, (N, *shape)."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators])

    def order(self, count: int) -> Tensor:
        """The next order of every image, (N, count)."""
        return torch.stack([torch.randperm(count, generator=g) for g in self.generators])


class GivenNoise:
    """Noise that is known beforehand: `start` for the first call, then `steps` one by one."""

    def __init__(self, start: Tensor, steps: Sequence[Tensor] = ()) -> None:
        self._all = iter((start, *steps))

    def normal(self, *shape: int) -> Tensor:
        """The next of the given noises."""
        return next(self._all)

    def order(self, count: int) -> Tensor:
        """Nothing is given for this."""
        raise ValueError("given noise holds no order of tokens")


@dataclass(frozen=True)
class Sampling:
    """One batch of images to be drawn; y (N,) are their classes, on the model's device."""

    model: Denoiser
    objective: Objective
    y: Tensor
    settings: Settings
    noise: NoiseSource

    @property
    def guided(self) -> bool:
        """False where guidance would change nothing."""
        return self.settings.guidance != 1

    def start(self) -> Tensor:
        """The noise that sampling begins with, (N, C, H, W)."""
        return self.normal(*self.model.sample_shape)

    def normal(self, *shape: int) -> Tensor:
        """Noise (N, *shape) on the model's device."""
        noise, device = self.noise.normal(*shape), self.y.device
        if device.type == "cuda":  # from pinned memory the host goes on at once
            return noise.pin_memory().to(device, non_blocking=True)
        return noise.to(device)

    @cached_property
    def classes_and_null(self) -> Tensor:
        """The classes, then as many null classes, (2N,); the classes alone where nothing is guided."""
        return torch.cat([self.y, torch.full_like(self.y, self.model.num_classes)]) if self.guided else self.y

    def predict(self, x: Tensor, t: Tensor) -> Tensor:
        """The model's output for images x (N, C, H, W) at one time t (), guided where guidance is on."""
        y, time = self.classes_and_null, t.view(1)  # one time, embedded once
        return self.model.guided(x, time, y, self.settings.guidance) if self.guided else self.model(x, time, y)
