"""The state of a run, and whether the process that works on it still lives."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import psutil

__all__ = ["ACTIVE", "MOST_SLOTS", "SLOT", "STATES", "Status", "is_alive", "own_process", "own_slot"]

ACTIVE = ("starting", "running")
STATES = ("created", "queued", *ACTIVE, "stopped", "finished", "failed", "interrupted")
SLOT = "TINYLAB_SLOT"  # where a worker finds the number of the device it was given
MOST_SLOTS = 1024  # jobs that work at once
_MOST = 1e12  # no time, step or process number is larger


@dataclass(frozen=True)
class Status:
    """The state of a run. Times are seconds since the epoch; `pid` and `process_start` name one process for sure.

    A `queued` run waits for a device. It does so in its folder alone, and is still queued after a restart.
    """

    state: str = "created"  # one of STATES
    message: str = ""
    step: int = 0
    steps: int = 0
    pid: int = 0
    process_start: float = 0.0
    created: float = 0.0
    heartbeat: float = 0.0
    seconds: float = 0.0  # time computed so far, over all resumes
    seconds_left: float | None = None
    queued: float = 0.0  # when it last joined the queue of those that wait for a device
    slot: int = -1  # the device it was given; -1: whichever its process takes

    @property
    def active(self) -> bool:
        """True while a process works on the run."""
        return self.state in ACTIVE

    @classmethod
    def of(cls, values: Any) -> Status:
        """The status with these values, where each is what it should be; ValueError where one is not."""
        status = cls(**values)
        for name, given in asdict(status).items():
            default = getattr(cls, name)
            number = isinstance(given, int | float) and not isinstance(given, bool) and -_MOST < given < _MOST
            if name == "seconds_left":
                fits = given is None or number
            elif isinstance(default, str):
                fits = isinstance(given, str)
            else:
                fits = number and (isinstance(default, float) or isinstance(given, int))
            if not fits:
                raise ValueError(f"{name} cannot be {given!r}")
        if status.state not in STATES:
            raise ValueError(f"there is no state {status.state!r}")
        return status


def own_slot() -> int:
    """The number of the device that this process was given, -1 where it was given none."""
    given = os.environ.get(SLOT, "")
    return int(given) if given.isascii() and given.isdecimal() and int(given) < MOST_SLOTS else -1


def own_process() -> dict[str, Any]:
    """The status fields that name this process, and the device it was given."""
    return {"pid": os.getpid(), "process_start": psutil.Process().create_time(), "slot": own_slot()}


def is_alive(status: Status) -> bool:
    """Whether the very process that `status` names is there and works."""
    try:
        process = psutil.Process(status.pid)
        same = abs(process.create_time() - status.process_start) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OverflowError, ValueError):  # the last two: no process can have this number
        return False
