"""Blocks through torch.compile, with gates around them that stay as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from tinylab.models.base import Denoiser

__all__ = ["RECOMPILATIONS", "CompiledBlocks", "fresh_compiler"]

RECOMPILATIONS = 64  # modes of one block that find room; after that torch silently runs the rest uncompiled


@contextlib.contextmanager
def fresh_compiler() -> Iterator[None]:
    """Within the context, nothing compiled before counts, and several modes find room.

    With and without gradients, and with LoRA or not, a block is compiled anew. After eight times torch would silently
    run the rest uncompiled: enough for one mode, not for all of them in one process.
    """
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=RECOMPILATIONS):
        yield


class CompiledBlocks:
    """The blocks of a model, compiled when they first run.

    Gates change the number of samples at every step, so that it is a symbol in the compiled code. Blocks of one class
    share that code.
    """

    def __init__(self, model: Denoiser) -> None:
        blocks = [block for stack in model.block_stacks().values() for block in stack]
        self._forwards: list[tuple[nn.Module, Callable[..., Any]]] = [
            (block, torch.compile(block.forward, dynamic=True)) for block in blocks
        ]

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context the blocks run compiled; gates come inside it."""
        for block, forward in self._forwards:
            block.forward = forward  # type: ignore[method-assign]
        try:
            yield
        finally:
            for block, _ in self._forwards:
                del block.forward
