"""Flux-Lite (Freepik, 2024): the mean squared change of the hidden state by a block."""

from __future__ import annotations

from torch import Tensor

from tinylab.pruning.criteria.base import Choice, Request, keep_highest
from tinylab.pruning.criteria.block_changes import block_changes

__all__ = ["choose", "squared_change"]


def choose(request: Request) -> Choice:
    """Keep the blocks that change their input most."""
    return keep_highest(request, block_changes(request, squared_change))


def squared_change(before: Tensor, after: Tensor) -> Tensor:
    """Mean of (x_out - x_in)² over tokens and channels: (N,)."""
    return (after - before).square().flatten(1).mean(dim=1)
