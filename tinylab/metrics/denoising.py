"""The loss of a model on held-out images, with fixed times and noise so that models can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinylab.data.digits import ImageSplit
from tinylab.data.order import step_generator
from tinylab.diffusion import Objective

__all__ = ["HeldOutLoss", "NoisedBatch", "held_out_loss", "noised_batches"]

_CHUNK = 512


@dataclass(frozen=True)
class HeldOutLoss:
    """Means over images, times and noise: `loss` = noise `mse` + `vb` (bits per dimension)."""

    loss: float
    mse: float
    vb: float


@dataclass(frozen=True)
class NoisedBatch:
    """Clean images, what the model is shown of them, and the noise: (N, C, H, W), (N,), (N,), (N, C, H, W)."""

    x: Tensor
    t: Tensor
    y: Tensor
    noise: Tensor


def noised_batches(
    objective: Objective, data: ImageSplit, count: int, seed: int, device: torch.device
) -> Iterator[NoisedBatch]:
    """`count` images with classes, noise, and times spread evenly over the whole chain, in chunks.

    The images are taken in turn; the times are a random pairing of `count` even strata of the chain.
    """
    generator = step_generator(seed, 0, stream=7)
    strata = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    t = (strata * objective.num_steps).long().clamp(max=objective.num_steps - 1)
    noise = torch.randn(count, *data.images.shape[1:], generator=generator)
    chosen = torch.arange(count) % len(data)
    for part in torch.arange(count).split(_CHUNK):
        index = chosen[part]
        parts = (data.images[index], t[part], data.labels[index], noise[part])
        yield NoisedBatch(*(p.to(device) for p in parts))


@torch.no_grad()
def held_out_loss(
    model: nn.Module, objective: Objective, data: ImageSplit, *, repeats: int = 8, seed: int = 0
) -> HeldOutLoss:
    """Loss over every image of `data`, each at `repeats` times."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    sums, total = torch.zeros(3, dtype=torch.float64), 0
    for batch in noised_batches(objective, data, repeats * len(data), seed, device):
        losses = objective.training_losses(model, batch.x, batch.t, batch.y, batch.noise)
        sums += torch.stack([losses.loss.sum(), losses.mse.sum(), losses.vb.sum()]).double().cpu()
        total += len(batch.x)
    model.train(was_training)
    return HeldOutLoss(*(sums / total).tolist())
