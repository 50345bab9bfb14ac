"""The memory that autograd keeps for the backward pass of a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

__all__ = ["saved_bytes"]


def saved_bytes(step: Callable[[], object], *, apart_from: Iterable[Tensor] = ()) -> int:
    """Bytes that autograd keeps for the backward pass of `step`.

    Memory that several saved tensors share counts once, and whole, because all of it stays alive.

    Args:
        step: a forward and a backward pass.
        apart_from: tensors that would exist anyway: weights, buffers, inputs.
    """
    known = {tensor.untyped_storage().data_ptr() for tensor in apart_from}
    found: dict[int, torch.UntypedStorage] = {}  # holds on to them, so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found.setdefault(storage.data_ptr(), storage)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(storage.nbytes() for storage in found.values())
