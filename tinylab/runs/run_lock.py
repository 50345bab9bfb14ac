"""One process a run: a lock that the system itself frees, however the process ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator

from tinylab.errors import BadRequest
from tinylab.runs.run import Run

__all__ = ["run_lock"]

_PATIENCE = 2.0  # seconds for a process that has written its last status to be gone
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # file systems without locks: the status alone must do


@contextlib.contextmanager
def run_lock(run: Run) -> Iterator[None]:
    """Hold the run while the block computes it; BadRequest if another process does."""
    handle = os.open(run.path / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        until = time.monotonic() + _PATIENCE
        while not _take(handle):
            if _someone_computes(run) or time.monotonic() > until:
                raise BadRequest(f"run {run.id} is at work already")
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True


def _someone_computes(run: Run) -> bool:
    status = run.status()
    return status.active and status.pid != os.getpid()
