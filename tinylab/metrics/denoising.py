"""The loss of a model on held-out images, with fixed times and noise so that models can be compared."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinylab.data.base import Dataset
from tinylab.data.order import step_generator
from tinylab.diffusion import Draw, Objective

__all__ = ["HeldOutLoss", "NoisedBatch", "held_out_loss", "noised_batches"]

_ENOUGH = 4096  # noised images that tell a loss well


@dataclass(frozen=True)
class HeldOutLoss:
    """Means over images, times and noise: `loss` = noise `mse` + `vb` (bits per dimension)."""

    loss: float
    mse: float
    vb: float


@dataclass(frozen=True)
class NoisedBatch:
    """Clean images (N, C, H, W), their classes (N,), and everything random about them."""

    x: Tensor
    y: Tensor
    draw: Draw


def noised_batches(
    objective: Objective, data: Dataset, count: int, seed: int, device: torch.device
) -> Iterator[NoisedBatch]:
    """`count` images, taken in turn, with times and noise that are spread evenly and the same for every model."""
    draws = objective.evaluation_draws(count, data.sample_shape, step_generator(seed, 0, stream=7))
    first = 0
    for draw in draws:
        chosen = torch.arange(first, first + len(draw)) % len(data)
        first += len(draw)
        x, y = data.take(chosen)
        yield NoisedBatch(x.to(device), y.to(device), draw.to(device))


@torch.no_grad()
def held_out_loss(
    model: nn.Module, objective: Objective, data: Dataset, *, repeats: int = 8, seed: int = 0
) -> HeldOutLoss:
    """Loss over every image of `data`, each at `repeats` times, or fewer where the data is large."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    sums, total = torch.zeros(3, dtype=torch.float64), 0
    count = max(len(data), min(repeats * len(data), _ENOUGH))
    for batch in noised_batches(objective, data, count, seed, device):
        losses = objective.losses(model, batch.x, batch.y, batch.draw)
        sums += torch.stack([losses.loss.sum(), losses.mse.sum(), losses.vb.sum()]).double().cpu()
        total += len(batch.x)
    model.train(was_training)
    return HeldOutLoss(*(sums / total).tolist())
