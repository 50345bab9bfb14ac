"""The memory that a training step needs beyond weights and inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

__all__ = ["peak_bytes", "saved_bytes"]


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


def peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """The most bytes of a GPU that torch had handed out during `step`, less those before it: activations, and the
    gradients that the step returns."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
