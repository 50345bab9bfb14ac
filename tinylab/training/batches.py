"""One step's batch as a pure function of (seed, step), whole or in parts for several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tinylab.data.base import Dataset
from tinylab.data.order import batch_indices, step_generator
from tinylab.diffusion import Draw, Objective

__all__ = ["TrainBatch", "denoise_batch"]


@dataclass(frozen=True)
class TrainBatch:
    """Some images of a step.

    Attributes:
        x: images or latents (n, ...).
        y: their classes (n,), or what other conditions the model is given.
        draw: times and noise of these images.
        rows: which images of the step they are.
        generator: what the rest of the step draws from, in the state after the draws of the whole batch.
    """

    x: Tensor
    y: Any
    draw: Draw
    rows: slice
    generator: torch.Generator

    def to(self, device: torch.device) -> TrainBatch:
        """The same on another device; the generator stays on the CPU."""
        return TrainBatch(self.x.to(device), self.y.to(device), self.draw.to(device), self.rows, self.generator)


def denoise_batch(
    data: Dataset,
    objective: Objective,
    *,
    seed: int,
    step: int,
    images: int,
    rows: slice,
    null_class: int,
    label_dropout: float,
) -> TrainBatch:
    """The `rows` of the batch of `images` images that step `step` takes.

    Everything random is drawn for the whole batch first: however the images are shared out among processes and
    micro-batches, each gets the same noise.
    """
    generator = step_generator(seed, step)
    chosen = batch_indices(len(data), images, seed, step)
    views = torch.randint(data.views, (images,), generator=step_generator(seed, step, stream=5))
    hidden = torch.rand(images, generator=generator) < label_dropout
    draw = objective.draw(images, data.sample_shape, generator)
    x, y = data.take(chosen[rows], views[rows])
    return TrainBatch(x, torch.where(hidden[rows], null_class, y), draw[rows], rows, generator)
