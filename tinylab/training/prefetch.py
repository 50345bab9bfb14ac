"""Batches that are prepared while the step before them is computed."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

__all__ = ["Reader", "prefetch"]

_AHEAD = 2  # batches that a thread has ready or in work

Key = tuple[int, slice]  # step, and which of its images


class Reader:
    """Gives the batches of a sequence of keys, one at a time and in order.

    Attributes:
        waited: seconds that were spent waiting for batches.
    """

    def __init__(self, batches: Iterator[Any], device: torch.device) -> None:
        self._batches, self._device = batches, device
        self.waited = 0.0

    def take(self) -> Any:
        """The next batch, on the device; what went wrong in making it is raised as it is."""
        began = time.perf_counter()
        batch = next(self._batches)
        self.waited += time.perf_counter() - began
        return batch if self._device.type == "cpu" else _mapped(batch, self._send)

    def _send(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, non_blocking=True)


@contextlib.contextmanager
def prefetch(
    make: Callable[[int, slice], Any], keys: Iterable[Key], *, workers: int, device: torch.device
) -> Iterator[Reader]:
    """A reader of `make(*key)` for all keys, made ahead by `workers` threads; they end with the context.

    What is read does not depend on the number of threads: `make` is a pure function, and an error is raised when its
    batch is due. Without threads every batch is made when it is asked for. On the way to a GPU batches lie in pinned
    memory, from which they are copied while the GPU computes.

    Args:
        make: gives a batch on the CPU, from any thread.
    """
    ready = _pinned if device.type == "cuda" else (lambda batch: batch)
    if not workers:
        yield Reader((ready(make(*key)) for key in keys), device)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    try:
        yield Reader(_in_order(pool, lambda key: ready(make(*key)), keys, workers * _AHEAD), device)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool: ThreadPoolExecutor, make: Callable[[Key], Any], keys: Iterable[Key], ahead: int) -> Iterator[Any]:
    waiting: deque[Future[Any]] = deque()
    left = iter(keys)
    while True:
        for key in left:
            waiting.append(pool.submit(make, key))
            if len(waiting) > ahead:
                break
        if not waiting:
            return
        yield waiting.popleft().result()


def _pinned(batch: Any) -> Any:
    return _mapped(batch, torch.Tensor.pin_memory)


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with every tensor changed, in dataclasses, dicts, lists and tuples."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _mapped(getattr(value, field.name), change) for field in fields(value)})
    if isinstance(value, dict):
        return type(value)({key: _mapped(entry, change) for key, entry in value.items()})
    if type(value) in (list, tuple):
        return type(value)(_mapped(entry, change) for entry in value)
    return value
