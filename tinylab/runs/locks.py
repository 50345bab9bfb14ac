"""Locks between processes: one process computes a run, and one at a time changes the queue of a runs folder.

Both are `flock` on a file: the system frees them, however a process ends. On a file system without locks a run is
guarded by its status alone, and one app a runs folder must do; the package filelock refuses to work there.
"""

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tinylab.errors import BadRequest, Failure
from tinylab.paths import runs_folder
from tinylab.runs.run import Run

__all__ = ["QueueBusy", "queue_changed", "queue_lock", "queue_stamp", "run_lock"]

_RUN_PATIENCE = 2.0  # seconds for a process that has written its last status to be gone
_QUEUE_PATIENCE = 10.0  # seconds; a decision takes a few hundredths of one
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)

_turn = threading.RLock()
_held: list[int] = []  # the handle of the queue, while this process decides


class QueueBusy(Failure):
    """Another process holds the queue, and does not come to an end."""


@contextlib.contextmanager
def run_lock(run: Run) -> Iterator[None]:
    """Hold the run while the block computes it; BadRequest if another process does."""
    handle = _open(run.path / "lock")
    try:
        if not _take(handle, _RUN_PATIENCE, pause=0.02, hopeless=lambda: _someone_computes(run)):
            raise BadRequest(f"run {run.id} is at work already")
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def queue_lock(patience: float = _QUEUE_PATIENCE) -> Iterator[None]:
    """Nobody else changes the queue, or starts a job from it, while the block runs. It may be entered again inside.

    Raises:
        QueueBusy: another process has held the queue for `patience` seconds.
    """
    with _turn:
        if _held:
            yield
            return
        try:
            runs_folder().mkdir(parents=True, exist_ok=True)
            handle = _open(_queue_file())
        except OSError:  # nothing can be written there, so that nobody can make a run there either
            handle = -1
        try:
            if handle >= 0 and not _take(handle, patience, pause=0.01):
                raise QueueBusy(f"another lab holds {_queue_file()}; try again, or end it")
            _held.append(handle)
            yield
        finally:
            _held.clear()
            if handle >= 0:
                os.close(handle)


def queue_changed() -> None:
    """Let all processes know that the queue has changed. For the process that holds it."""
    if _held and _held[0] >= 0:
        now = time.time_ns()
        os.utime(_held[0], ns=(now, now))


def queue_stamp() -> tuple[str, int, int]:
    """Changes when somebody joins or leaves the queue, or a run folder comes or goes."""
    folder = runs_folder()
    return str(folder), _changed_at(folder), _changed_at(_queue_file())


def _queue_file() -> Path:
    return runs_folder() / ".queue.lock"


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)


def _take(handle: int, patience: float, *, pause: float, hopeless: Callable[[], bool] = bool) -> bool:
    """Lock the file; False if it is still locked after `patience` seconds, or once waiting is `hopeless`."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return True
        if hopeless() or time.monotonic() >= until:
            return False
        time.sleep(pause)


def _someone_computes(run: Run) -> bool:
    status = run.status()
    return status.active and status.pid != os.getpid()


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
