"""How a block takes and returns the hidden state: what a gate around it must know. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PLAIN", "BlockForm", "block_forms", "protected_blocks"]


@dataclass(frozen=True)
class BlockForm:
    """How the forward of a block of some class passes the hidden state on.

    Attributes:
        returns: the arguments that the entries of the returned tuple take the place of, in order; empty for a block
            that returns the new hidden state alone, which takes the place of its first argument.
        shared: arguments that belong to the whole batch (rotary embeddings without an axis of samples, say), whatever
            their shape.
        known: every other tensor whose first axis has the length of the batch is one entry a sample. False where
            nobody has looked: then a length that could also be a number of tokens counts as doubt.
    """

    returns: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    known: bool = True


PLAIN = BlockForm()


def block_forms(model: Any) -> Mapping[str, BlockForm]:
    """The form of the blocks of every stack of `model`; a stack that is not named is `PLAIN`."""
    return model.block_forms() if hasattr(model, "block_forms") else {}


def protected_blocks(model: Any) -> Mapping[str, tuple[int, ...]]:
    """Indices per stack of the blocks of `model` that must stay; a stack that is not named has none."""
    return model.protected_blocks() if hasattr(model, "protected_blocks") else {}
