"""Exponential moving averages of weights."""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from tinylab.training.sharding import is_sharded, local_parts, shard_like, whole

__all__ = ["Ema"]

M = TypeVar("M", bound=nn.Module)


class Ema(Generic[M]):
    """A shadow copy of a module that follows it slowly.

    The decay is warmed up, min(decay, (1 + step) / (10 + step)), so that short runs are not dominated by
    where they began.

    Where the module's weights are spread over processes, so are their averages, and each step only touches the own
    part of them. The shadow itself is whole on every process and brought up to date when it is asked for.
    """

    def __init__(self, module: M, decay: float) -> None:
        self.decay = decay
        self._module: M = copy.deepcopy(module).eval().requires_grad_(False)
        self._parts: list[Tensor] | None = None  # of the averages, where they are spread
        self._stale = False

    @property
    def module(self) -> M:
        """The averaged module. All processes must read it where weights are spread over them."""
        self.gather()
        return self._module

    @torch.no_grad()
    def gather(self) -> None:
        """Bring the module up to date; for who holds it already."""
        if self._stale and self._parts is not None:
            for parameter, part in zip(self._module.parameters(), self._parts, strict=True):
                parameter.copy_(whole(part))
        self._stale = False

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Move towards `source` after optimizer step `step` (from 0)."""
        # w_ema <- d w_ema + (1 - d) w, averaging over about 1 / (1 - d) steps; with d = (1 + s) / (10 + s) at first,
        # that is over about the last ninth of the steps so far.
        decay = min(self.decay, (1 + step) / (10 + step))
        live = list(source.parameters())
        if self._parts is None and is_sharded(source):
            self._parts = [shard_like(p.detach(), q) for p, q in zip(self._module.parameters(), live, strict=True)]
        followers = self._module.parameters() if self._parts is None else self._parts
        torch._foreach_lerp_(local_parts(followers), local_parts(live), 1 - decay)
        self._stale = True
