"""Several processes at one job, as torchrun or `accelerate launch` starts them. Free of torch until they meet.

All of them compute; the main one alone writes. Their messages to each other here go over gloo, between CPUs, so that
it never makes a GPU wait; gradients go over the backend of the device.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from tinylab.errors import BadRequest, Failure

__all__ = ["ALONE", "ProcessGroup", "launched", "join_group", "leave_group", "process_group"]

T = TypeVar("T")

_OVER, _JOB, _TROUBLE = "over", "job", "trouble"  # keys of the store that all processes can read
_PATIENCE = timedelta(seconds=5)  # for the main process to report how a job ended that fails in all of them
_LONG = timedelta(days=1)  # for the main process to check a request and to fetch a model


@dataclass(frozen=True)
class ProcessGroup:
    """One process among those of a job.

    Attributes:
        rank: its number, 0 for the main one.
        size: how many there are.
        store: a store of words that outlast a process.
    """

    rank: int = 0
    size: int = 1
    store: Any = None

    @property
    def main(self) -> bool:
        """Whether this process writes what the job leaves behind."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process. All must ask."""
        return flag if self.size == 1 else any(self._all(flag))

    def wait(self) -> None:
        """Go on when all have come this far."""
        self.any(False)

    def mean(self, values: Sequence[float]) -> list[float]:
        """Means over the processes. All must ask."""
        if self.size == 1:
            return list(values)
        import torch

        total = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(total)
        return (total / self.size).tolist()

    def same(self, value: T, what: str) -> T:
        """The value, if all processes have it; else a Failure that names what there are several of."""
        if self.size > 1 and len(found := set(self._all(value))) > 1:
            raise Failure(f"the processes do not agree on {what}: {', '.join(map(str, sorted(found, key=str)))}")
        return value

    def from_main(self, make: Callable[[], T]) -> T:
        """What `make` gives in the main process, for all; it runs in no other one. All must ask.

        Raises:
            Failure: in the others, when `make` raised in the main one.
        """
        if self.size == 1:
            return make()
        import torch

        answer: list[Any] = [None, False]
        try:
            if self.main:
                answer = [make(), True]
        finally:
            torch.distributed.broadcast_object_list(answer, src=0)
        if not answer[1]:
            raise Failure("the main process could not go on")
        return answer[0]

    def _all(self, value: T) -> list[T]:
        import torch

        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, value)
        return found

    def begin(self, job: str) -> None:
        """Let the others know which job it is."""
        if self.store is not None:
            self.store.set(_JOB, job)

    def over(self) -> None:
        """Let the others know that the main process has reported all there is; called in them, it does nothing."""
        if self.store is not None and self.main:
            self.store.set(_OVER, "1")
            if not self.store.check([_JOB]):
                self.store.set(_JOB, "")

    def listen(self) -> str:
        """The job that the main process began, "" if it began none."""
        self.store.wait([_JOB], _LONG)
        return self.store.get(_JOB).decode()

    def report_failure(self, what: str) -> bool:
        """Report what went wrong in this process; True if the main one ends by itself, having met the same."""
        try:
            self.store.set(_TROUBLE, f"process {self.rank}: {what}")
            self.store.wait([_OVER], _PATIENCE)
        except RuntimeError as error:  # the store goes with the process that keeps it
            return "timeout" not in str(error).lower()
        return True

    def trouble(self, error: Exception) -> str:
        """What came first, in another process, and made `error` of their broken connection; "" if none did."""
        if self.store is None:
            return ""
        with contextlib.suppress(RuntimeError):  # the store goes with the process that keeps it
            if self.store.check([_TROUBLE]):
                return self.store.get(_TROUBLE).decode()
        lost = isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL", "Connection"))
        return "another process of the job ended without a word; its own output may say why" if lost else ""


ALONE = ProcessGroup()
_met = ALONE


def launched() -> int:
    """How many processes this one was started with; 1 without a launcher."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isdecimal() else 1


def process_group() -> ProcessGroup:
    """This process among those of its job: alone until `join_group` was called."""
    return _met


def join_group() -> ProcessGroup:
    """Wait for the other processes of this launch.

    Each takes the GPU of its number on its machine, where there is one; whether it is used, the job decides.

    Raises:
        BadRequest: the launcher did not set which process this is.
    """
    global _met
    if launched() == 1 or _met is not ALONE:
        return _met
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise BadRequest(f"WORLD_SIZE is {launched()} but {missing[0]} is not set: start with torchrun, or unset it")
    import torch
    from torch.distributed.rendezvous import rendezvous

    gpus, own = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if own < gpus:
        torch.cuda.set_device(own)
    store, rank, size = next(rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    torch.distributed.init_process_group(
        backend, store=torch.distributed.PrefixStore("group", store), rank=rank, world_size=size
    )
    _met = ProcessGroup(rank, size, torch.distributed.PrefixStore("tinylab", store))
    return _met


def leave_group() -> None:
    """Undo `join_group`, for a process whose job ended well."""
    global _met
    if _met is not ALONE:
        sys.modules["torch"].distributed.destroy_process_group()
        _met = ALONE
