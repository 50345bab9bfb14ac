"""Do samples show the digit that was asked for? Judged by the classifier that ships with Tinylab."""

from __future__ import annotations

import torch
from torch import Tensor

from tinylab.models.networks.reader import DigitReader

__all__ = ["read_digits", "reading_accuracy"]


@torch.no_grad()
def read_digits(reader: DigitReader, images: Tensor) -> Tensor:
    """The digit (N,) that the reader sees in each image (N, 1, 8, 8), clipped to [-1, 1] as on a screen."""
    device = next(reader.parameters()).device
    chunks = images.clamp(-1, 1).to(device).split(1000)
    return torch.cat([reader.eval()(chunk).argmax(dim=1) for chunk in chunks]).cpu()


def reading_accuracy(reader: DigitReader, images: Tensor, labels: Tensor) -> float:
    """Share of images read as the class in `labels` (N,)."""
    return (read_digits(reader, images) == labels.cpu()).double().mean().item()
