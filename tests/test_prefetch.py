"""Batches that threads prepare: in order, a few ahead, with errors as they are."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tinylab.data.cached import Conditions
from tinylab.errors import BadRequest
from tinylab.training.prefetch import prefetch

CPU = torch.device("cpu")
KEYS = [(step, slice(0, 1)) for step in range(20)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order(workers: int) -> None:
    with prefetch(lambda step, rows: (step, rows), KEYS, workers=workers, device=CPU) as reader:
        assert [reader.take() for _ in KEYS] == KEYS
    assert reader.waited > 0


def test_batches_are_made_in_threads_a_few_ahead() -> None:
    made, threads, enough = [], set(), threading.Event()

    def make(step: int, rows: slice) -> int:
        made.append(step)
        threads.add(threading.current_thread().name)
        if len(made) == 5:
            enough.set()
        return step

    with prefetch(make, KEYS, workers=2, device=CPU) as reader:
        assert reader.take() == 0
        assert enough.wait(30)  # four more, without being asked
    assert sorted(made) == [0, 1, 2, 3, 4]
    assert threading.current_thread().name not in threads


def test_two_threads_work_at_once() -> None:
    both = threading.Barrier(2, timeout=30)
    with prefetch(lambda step, rows: both.wait() >= 0, KEYS[:2], workers=2, device=CPU) as reader:
        assert reader.take() and reader.take()


def test_without_threads_a_batch_is_made_when_it_is_asked_for() -> None:
    made: list[int] = []
    with prefetch(lambda step, rows: made.append(step), KEYS, workers=0, device=CPU) as reader:
        assert made == []
        reader.take()
        assert made == [0]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_is_raised_as_it_is_when_its_batch_is_due(workers: int) -> None:
    def make(step: int, rows: slice) -> int:
        if step == 2:
            raise BadRequest("latents-3.safetensors is damaged; encode it again")
        return step

    with prefetch(make, KEYS, workers=workers, device=CPU) as reader:
        assert [reader.take(), reader.take()] == [0, 1]
        with pytest.raises(BadRequest, match="^latents-3.safetensors is damaged; encode it again$"):
            reader.take()


def test_threads_end_with_the_context_whatever_ends_it() -> None:
    with pytest.raises(KeyError), prefetch(lambda step, rows: step, KEYS, workers=3, device=CPU) as reader:
        reader.take()
        raise KeyError
    assert [t.name for t in threading.enumerate() if t.name.startswith("read-ahead")] == []


@dataclass(frozen=True)
class _Batch:
    x: Tensor
    y: Conditions
    rows: slice
    generator: torch.Generator


def test_all_tensors_of_a_batch_are_sent_and_the_rest_stays() -> None:
    """To the meta device, the one beside the CPU that is everywhere."""
    generator = torch.Generator()
    batch = _Batch(torch.ones(2), Conditions(a=torch.ones(1), b=[torch.ones(3), "text"]), slice(0, 2), generator)
    with prefetch(lambda step, rows: batch, KEYS, workers=1, device=torch.device("meta")) as reader:
        found = reader.take()
    assert [part.device.type for part in (found.x, found.y["a"], found.y["b"][0])] == ["meta"] * 3
    assert (found.y["b"][1], found.rows, found.generator) == ("text", slice(0, 2), generator)
    assert type(found.y) is Conditions


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_for_a_gpu_are_pinned_and_sent() -> None:
    with prefetch(lambda step, rows: torch.ones(4), KEYS, workers=1, device=torch.device("cuda")) as reader:
        assert next(reader._batches).is_pinned()
        assert reader.take().device.type == "cuda"
