"""Blocks whose `forward` is replaced for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import nn

__all__ = ["restored_forwards"]


@contextlib.contextmanager
def restored_forwards(blocks: Sequence[nn.Module]) -> Iterator[None]:
    """After the context every block has the `forward` that it came with: its class's, or one of its own."""
    own = [vars(block).get("forward") for block in blocks]
    try:
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            vars(block).pop("forward", None)
            if forward is not None:
                block.forward = forward
