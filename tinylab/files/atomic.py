"""Writing so that a reader, or a crash, sees the old file or the new one and nothing between."""

import contextlib
import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tinylab.errors import Failure

__all__ = [
    "disk_errors",
    "flush",
    "flush_folder",
    "is_full",
    "new_file",
    "new_folder",
    "overwrite",
    "remove_folder",
    "sweep",
    "write_bytes",
    "write_text",
]

_PART = ".part"  # how everything ends that is still being written
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, flushed to the disk first."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=_PART)
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
def new_file(target: Path) -> Iterator[Path]:
    """The path of a file to write that takes the place of `target` when the block ends well, and vanishes when not."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-", suffix=_PART)
    os.close(handle)
    try:
        yield Path(name)
        flush(Path(name))
        os.chmod(name, 0o644)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `target` when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-", suffix=_PART))
    os.chmod(temporary, 0o755)
    try:
        yield temporary
        flush_folder(temporary)
        old = target.with_name(f".{target.name}-old-{os.getpid()}{_PART}")
        if target.exists():
            os.replace(target, old)
        os.replace(temporary, target)
        flush(target.parent)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def overwrite(path: Path, text: str) -> None:
    """Write `text` over a small file that is there already: what works on a full disk, where `write_text` cannot.

    One system call into a block that the file has; what is left of a longer old text becomes spaces.
    """
    handle = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(handle, text.encode().ljust(os.fstat(handle).st_size), 0)
    finally:
        os.close(handle)


def remove_folder(path: Path) -> None:
    """Remove a folder; a crash on the way leaves none that could be taken for a whole one."""
    doomed = path.with_name(f".{path.name}-old-{os.getpid()}{_PART}")
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(OSError):  # it is gone already, or belongs to others: it may stay
        os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left below `folder`. For its only writer, before it begins."""
    for leftover in sorted(folder.rglob(f".*{_PART}")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def disk_errors(remedy: str) -> Iterator[None]:
    """Turn a full disk, a limit on sizes or a read-only folder into a Failure that ends with `remedy`."""
    try:
        yield
    except Exception as error:
        problem = _problem(error)
        if problem is None:
            raise
        raise Failure(f"{problem}; {remedy}") from error


def is_full(error: Exception) -> bool:
    """True for what the system, SQLite or safetensors raise where nothing more fits on the disk."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or "is full" in str(error)
    return _wraps(error, *_FULL)


def _problem(error: Exception) -> str | None:
    """What the disk has to do with an error; None if nothing."""
    if is_full(error):
        return "the disk is full"
    if isinstance(error, sqlite3.OperationalError) and "disk I/O" in str(error):
        return "the disk is full or broken (disk I/O error)"  # SQLite does not report which
    if isinstance(error, OSError) and error.errno == errno.EFBIG or _wraps(error, errno.EFBIG):
        return "a file grew beyond what is allowed here (see `ulimit -f`)"
    if isinstance(error, OSError) and error.errno in _FORBIDDEN:
        return f"cannot write {error.filename}: {error.strerror}"
    return None


def _wraps(error: Exception, *numbers: int) -> bool:
    """True where the text names one of these errors of the system: safetensors has a class of its own for all."""
    return any(f"os error {number})" in str(error) or os.strerror(number) in str(error) for number in numbers)


def flush(path: Path) -> None:
    """Have a file or folder reach the disk before anything goes on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """The same for a folder and everything in it."""
    for path in [*folder.rglob("*"), folder]:
        flush(path)
