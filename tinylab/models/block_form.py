"""How a block takes and returns the hidden state: what must be known to put something in its place. Free of torch."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PLAIN", "BlockForm", "block_forms", "protected_blocks", "restored_forwards"]


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


@contextlib.contextmanager
def restored_forwards(blocks: Iterable[Any]) -> Iterator[None]:
    """After the context every block has the `forward` it came with: its class's, or one of its own, as a hook of
    another library leaves there."""
    before = [(block, vars(block).get("forward")) for block in blocks]
    try:
        yield
    finally:
        for block, forward in before:
            vars(block).pop("forward", None)
            if forward is not None:
                block.forward = forward
