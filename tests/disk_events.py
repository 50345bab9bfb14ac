"""What a process asks of the disk, one event at a time: where to kill it, or to tell it that the disk is full."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch

__all__ = ["watch"]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_NAMES = {
    **{"os.rename": "replace", "os.mkdir": "mkdir", "os.remove": "remove", "os.rmdir": "rmdir"},
    **{"os.chmod": "chmod", "os.truncate": "truncate"},
}


def watch(folder: Path, tell: Callable[[str, Path], None]) -> None:
    """Call `tell(event, path)` before everything that this process does to files below `folder` from now on.

    An event is a word and the path below the folder, with random parts as `#`: `fsync .plan.json-#.part`. Words are
    `create` (a file), `open` (one that is there, to write), `replace`, `mkdir`, `remove`, `rmdir`, `chmod`,
    `truncate`, `fsync`, `tensors` (before a safetensors file is written), `written` (after that) and `sql`, followed
    by the statement. What `tell` raises reaches the code that was at work, except for `sql`. There is no way back: it
    is for processes of their own.
    """
    _Watch(folder.absolute(), tell).begin()


class _Watch:
    def __init__(self, folder: Path, tell: Callable[[str, Path], None]) -> None:
        self._folder, self._tell = folder, tell
        self._inside = False  # what `tell` itself does is no event

    def begin(self) -> None:
        """Install everything. Python's audit hooks see all libraries, but no fsync, no SQL and nothing in Rust."""
        fsync, connect, serialize = os.fsync, sqlite3.connect, safetensors.torch.serialize_file

        def watched_fsync(descriptor: int) -> None:
            self._event("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        def watched_connect(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(database, *arguments, **options)
            connection.set_trace_callback(lambda statement: self._event(f"sql {_kind(statement)}", database))
            return connection

        def watched_serialize(tensors: Any, filename: Any, *arguments: Any, **options: Any) -> None:
            self._event("tensors", filename)
            serialize(tensors, filename, *arguments, **options)
            self._event("written", filename)

        os.fsync, sqlite3.connect = watched_fsync, watched_connect  # type: ignore[assignment]
        safetensors.torch.serialize_file = watched_serialize
        sys.addaudithook(self._hear)

    def _hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                new = flags & os.O_CREAT and isinstance(path, str | os.PathLike) and not os.path.lexists(path)
                self._event("create" if new else "open", path)
        elif name in _NAMES:
            self._event(_NAMES[name], arguments[1] if name == "os.rename" else arguments[0])

    def _event(self, word: str, given: Any) -> None:
        if self._inside or not isinstance(given, str | os.PathLike):
            return
        path = Path(given)
        if path.is_absolute() and not path.is_relative_to(self._folder):
            return
        shown = str(path.relative_to(self._folder)) if path.is_absolute() else path.name
        self._inside = True
        try:
            self._tell(f"{word} {_steady(shown)}", path)
        finally:
            self._inside = False


def _kind(statement: str) -> str:
    return " ".join(statement.split()[:2]).lower()


def _steady(name: str) -> str:
    """The name with what chance or the process put into it as `#`."""
    return re.sub(r"-(old-\d+|[a-z0-9_]{8})(\.part)?(?=/|$)", r"-#\2", name)
