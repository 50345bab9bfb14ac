"""The size of a block's update f(x) - x: plain, relative to its input, and how the block scales the hidden state."""

from __future__ import annotations

from torch import Tensor

from tinylab.pruning.criteria.base import Choice, Request, keep_highest
from tinylab.pruning.criteria.block_changes import block_changes

__all__ = ["choose_l2", "choose_norm_ratio", "choose_relative_l2", "l2", "norm_ratio", "relative_l2"]


def choose_l2(request: Request) -> Choice:
    """Keep the blocks with the largest updates."""
    return keep_highest(request, block_changes(request, l2))


def choose_relative_l2(request: Request) -> Choice:
    """Keep the blocks with the largest updates, measured by their input."""
    return keep_highest(request, block_changes(request, relative_l2))


def choose_norm_ratio(request: Request) -> Choice:
    """Keep the blocks that scale the hidden state most, up or down."""
    return keep_highest(request, block_changes(request, norm_ratio))


def l2(before: Tensor, after: Tensor) -> Tensor:
    """‖x_out - x_in‖ of every token (N, …, D), mean over tokens: (N,)."""
    return (after - before).norm(dim=-1).flatten(1).mean(dim=1)


def relative_l2(before: Tensor, after: Tensor) -> Tensor:
    """‖x_out - x_in‖ / ‖x_in‖ of every token, mean over tokens: (N,)."""
    return ((after - before).norm(dim=-1) / before.norm(dim=-1).clamp(min=1e-12)).flatten(1).mean(dim=1)


def norm_ratio(before: Tensor, after: Tensor) -> Tensor:
    """|ln(‖x_out‖ / ‖x_in‖)| of every token, mean over tokens: (N,)."""
    ratio = after.norm(dim=-1).clamp(min=1e-12) / before.norm(dim=-1).clamp(min=1e-12)
    return ratio.log().abs().flatten(1).mean(dim=1)
