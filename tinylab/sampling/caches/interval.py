"""A cache with a fixed rhythm: what the middle blocks add is computed now and then, and added again in between.

The simplest of the feature caches over steps (DeepCache, Ma et al. 2023, arXiv:2312.00858, does it in a U-Net).
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor

from tinylab.models.base import Denoiser
from tinylab.models.block_form import restored_forwards

__all__ = ["interval"]

Forward = Callable[..., Tensor]


@contextlib.contextmanager
def interval(model: Denoiser, every: float) -> Iterator[None]:
    """Within the context all blocks run in every `every`-th forward pass, the first one included.

    At the others the first and the last block run, and between them is added what the others added last time.
    """
    blocks = [block for stack in model.block_stacks().values() for block in stack]
    state = _Kept(int(every))
    first, *middle, last = blocks
    with restored_forwards(blocks):
        first.forward = partial(state.first, first.forward)
        for block in middle:
            block.forward = partial(state.middle, block.forward)
        last.forward = partial(state.last, last.forward)
        yield


class _Kept:
    """What the middle blocks added to the hidden state (N, T, D) in the last whole pass."""

    def __init__(self, every: int) -> None:
        self._every, self._passes = every, 0
        self._whole = True
        self._before: Tensor | None = None
        self._added: Tensor | None = None

    def first(self, forward: Forward, x: Tensor, *rest: Any) -> Tensor:
        self._whole = self._passes % self._every == 0
        self._passes += 1
        x = forward(x, *rest)
        if self._whole:
            self._before = x
            return x
        if self._added is None or self._added.shape != x.shape:
            raise ValueError("a cache was kept over from another batch; give each a context of its own")
        return x + self._added

    def middle(self, forward: Forward, x: Tensor, *rest: Any) -> Tensor:
        return forward(x, *rest) if self._whole else x

    def last(self, forward: Forward, x: Tensor, *rest: Any) -> Tensor:
        if self._whole and self._before is not None and self._every > 1:
            self._added = x - self._before
        self._before = None
        return forward(x, *rest)
