"""Blocks that are computed again in the backward pass, so that only what goes into them has to be kept
(Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tinylab.models.base import Denoiser

__all__ = ["checkpointed_blocks"]


@contextlib.contextmanager
def checkpointed_blocks(model: Denoiser) -> Iterator[None]:
    """Within the context the blocks of `model` keep their inputs alone; backward passes may come after it.

    It goes around what is in place of a block's forward already, compiled code say; gates come inside the context.
    Hooks on a block are called once a forward pass, as ever; those on parts of it once more in the backward pass.
    """
    before: list[tuple[nn.Module, Any]] = []
    for stack in model.block_stacks().values():
        for block in stack:
            before.append((block, block.__dict__.get("forward")))
            block.forward = _recomputed(block.forward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block, forward in before:
            del block.forward
            if forward is not None:
                block.forward = forward  # type: ignore[method-assign]


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return run
