"""Writing so that a reader, or a crash, sees the old file or the new one and nothing between."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tinylab.errors import Failure

__all__ = ["disk_errors", "flush", "new_folder", "write_bytes", "write_text"]


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, flushed to the disk first."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """`write_bytes` for UTF-8 text."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `target` when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    os.chmod(temporary, 0o755)
    try:
        yield temporary
        for file in [*temporary.rglob("*"), temporary]:
            flush(file)
        old = target.with_name(f".{target.name}-old-{os.getpid()}")
        if target.exists():
            os.replace(target, old)
        os.replace(temporary, target)
        flush(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def disk_errors(mend: str) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a Failure that ends with `mend`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Failure(f"the disk is full; {mend}") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise Failure(f"cannot write {error.filename}: {error.strerror}; {mend}") from error
        raise
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "disk I/O" in str(error):
            raise Failure(f"the disk is full; {mend}") from error
        raise
    except Exception as error:  # safetensors wraps the system's error in a class of its own
        if "No space left" in str(error):
            raise Failure(f"the disk is full; {mend}") from error
        raise


def flush(path: Path) -> None:
    """Have a file or folder reach the disk before anything goes on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
