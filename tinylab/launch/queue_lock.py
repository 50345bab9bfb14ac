"""One decision at a time, over all processes of a runs folder: who is in the queue, and whose job starts next."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tinylab.errors import Failure
from tinylab.paths import runs_folder

__all__ = ["QueueBusy", "queue_changed", "queue_lock", "queue_stamp"]

_PATIENCE = 10.0  # seconds; a decision takes a few hundredths of one
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # file systems without locks: one app a folder must do

_turn = threading.RLock()
_held: list[int] = []  # the handle, while this process decides


class QueueBusy(Failure):
    """Another process decides at this moment, and does not come to an end."""


@contextlib.contextmanager
def queue_lock(patience: float = _PATIENCE) -> Iterator[None]:
    """Nobody else changes the queue, or starts a job from it, while the block runs. It may be entered again inside.

    Raises:
        QueueBusy: another process has held the lock for `patience` seconds.
    """
    with _turn:
        if _held:
            yield
            return
        handle = _open()
        try:
            until = time.monotonic() + patience
            while not _take(handle):
                if time.monotonic() >= until:
                    raise QueueBusy(f"another lab holds {_file()}; try again, or end it")
                time.sleep(0.01)
            _held.append(handle)
            yield
        finally:
            _held.clear()
            if handle >= 0:
                os.close(handle)


def queue_changed() -> None:
    """Let all processes know that the queue has changed. For the holder of the lock."""
    if _held and _held[0] >= 0:
        now = time.time_ns()
        os.utime(_held[0], ns=(now, now))


def queue_stamp() -> tuple[str, int, int]:
    """Changes when somebody joins or leaves the queue, or a run folder comes or goes."""
    folder = runs_folder()
    return str(folder), _changed_at(folder), _changed_at(_file())


def _file() -> Path:
    return runs_folder() / ".queue.lock"


def _open() -> int:
    """A handle on the file that is locked; -1 where none can be written: no run can then be made there either."""
    try:
        runs_folder().mkdir(parents=True, exist_ok=True)
        return os.open(_file(), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError:
        return -1


def _take(handle: int) -> bool:
    try:
        if handle >= 0:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
