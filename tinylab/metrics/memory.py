"""The most memory that some work holds at once, and what autograd keeps of a training step."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["peak_bytes", "saved_bytes"]


def peak_bytes(work: Callable[[], object], device: torch.device, *, weights: Iterable[Tensor] = ()) -> int:
    """The most bytes that `work` held at once beyond what was there before, and those of `weights`.

    On a GPU it is what torch had handed out. On a CPU it is the memory of the tensors that torch's operations
    returned and that were still alive; what an operation needs inside itself is not seen.

    Args:
        weights: tensors to add, each piece of memory once: those of the model at work.
    """
    seen = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in weights}
    return sum(seen.values()) + (_on_gpu(work, device) if device.type == "cuda" else _on_cpu(work))


def _on_gpu(work: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _on_cpu(work: Callable[[], object]) -> int:
    with _LiveTensors() as live:
        work()
    return live.peak


class _LiveTensors(TorchDispatchMode):
    """Follows the memory of every tensor that an operation returns, until nobody holds it any more.

    torch keeps one Python object for a piece of memory as long as the memory lives, so that its end can be told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        with self:  # in inference mode, whole layers come here; what they are made of is what takes memory
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and id(tensor.untyped_storage()) not in given:
                self._follow(tensor.untyped_storage())
        return result

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage.nbytes())

    def _forget(self, size: int) -> None:
        self.now -= size


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
