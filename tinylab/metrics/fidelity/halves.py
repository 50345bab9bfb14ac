"""Cutting a set into two random halves, class by class."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["drawn_evenly", "halves"]


def halves(count: int, classes: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of two random halves of `count`, the first one larger where that is odd.

    Where `classes` (N,) are given, each half has as many of a class as the other, or one more.
    """
    order = torch.randperm(count, generator=generator)
    if classes is not None:  # sorted by class, in random order within; then every second one
        order = order[classes[order].sort(stable=True).indices]
    return order[0::2], order[1::2]


def drawn_evenly(classes: Tensor) -> bool:
    """True where every class occurs equally often, or once more: then their numbers were set, not drawn."""
    counts = classes.unique(return_counts=True)[1]
    return bool(counts.max() - counts.min() <= 1)
