"""What was read from small files, kept until they change: many ask for the same few all the time."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["FileCache"]

_Value = TypeVar("_Value")
_Stamp = tuple[int, int, int]  # time of the last change, size, file number
_TICK = 50_000_000  # nanoseconds within which a second change could leave the very same stamp


class FileCache(Generic[_Value]):
    """Values by the file they were read from. They are shared, so they must be values that nobody changes.

    Args:
        most: how many are kept; those that were read first go first.
    """

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._kept: dict[str, tuple[_Stamp, _Value]] = {}
        self._lock = threading.Lock()

    def read(self, path: str | Path, read: Callable[[], _Value]) -> _Value:
        """What `read` makes of the file at `path`; it is called where the file has changed, or was changed just now.

        What `read` raises is passed on and not kept.
        """
        name = os.fspath(path)
        stamp = _stamp(name)
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        value = read()
        if stamp is None or time.time_ns() - stamp[0] < _TICK:
            return value
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = (stamp, value)
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
        return value


def _stamp(name: str) -> _Stamp | None:
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
