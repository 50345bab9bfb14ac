"""From noise and classes to images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tinylab.data.order import step_generator
from tinylab.diffusion import Objective
from tinylab.models.base import Denoiser
from tinylab.sampling import SAMPLERS

__all__ = ["Settings", "generate"]


@dataclass(frozen=True)
class Settings:
    """How to sample. Guidance 1 switches classifier-free guidance off and halves the work."""

    sampler: str = "ddpm"
    steps: int = 50
    guidance: float = 1.5
    seed: int = 0


class _ImageNoise:
    """Noise for images `first`, `first + 1`, …: each has a generator of its own, so no image depends on its batch."""

    def __init__(self, count: int, shape: tuple[int, ...], seed: int, first: int) -> None:
        self.shape = shape
        self.generators = [step_generator(seed, first + i, stream=3) for i in range(count)]

    def draw(self) -> Tensor:
        """The next noise of every image, (count, *shape)."""
        return torch.stack([torch.randn(self.shape, generator=g) for g in self.generators])


@torch.inference_mode()
def generate(
    model: Denoiser,
    objective: Objective,
    labels: Tensor,
    settings: Settings,
    *,
    first: int = 0,
    noise: Tensor | None = None,
    step_noises: Tensor | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw one image for each class in `labels` (N,): (N, C, H, W), not clipped.

    Equal settings give every model the same noise at every step, and image `first + i` is the same in any batch.

    Args:
        first: index of the first image, for drawing a large set in batches.
        noise: starting noise (N, C, H, W) in place of the seeded one.
        step_noises: (steps, N, C, H, W) noise of every step in place of the seeded one.
        on_step: called with the number of finished steps.
    """
    device = next(model.parameters()).device
    rule = SAMPLERS.get(settings.sampler)
    chain = objective.respaced(settings.steps)
    y = labels.to(device)
    source = _ImageNoise(len(y), model.sample_shape, settings.seed, first)
    x = (source.draw() if noise is None else noise).to(device)
    guided = settings.guidance != 1
    if guided:
        y = torch.cat([y, torch.full_like(y, model.num_classes)])
    for done, index in enumerate(reversed(range(settings.steps)), start=1):
        t = chain.timesteps[index].expand(len(y))
        if guided:
            output = model.forward_with_cfg(torch.cat([x, x]), t, y, settings.guidance)[: len(x)]
        else:
            output = model(x, t, y)
        fresh = source.draw() if step_noises is None else step_noises[done - 1]
        x = rule(chain, output, x, index, fresh.to(device))
        if on_step:
            on_step(done)
    return x
