"""Exponential moving averages of weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

__all__ = ["Ema"]

M = TypeVar("M", bound=nn.Module)


class Ema(Generic[M]):
    """A shadow copy of a module that follows it slowly.

    The decay is warmed up, min(decay, (1 + step) / (10 + step)), so that short runs are not dominated by
    where they began.
    """

    def __init__(self, module: M, decay: float) -> None:
        self.decay = decay
        self.module: M = copy.deepcopy(module).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Move towards `source` after optimizer step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        shadow, live = ([p.detach() for p in module.parameters()] for module in (self.module, source))
        torch._foreach_lerp_(shadow, live, 1 - decay)
