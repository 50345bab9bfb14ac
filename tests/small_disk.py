"""A real disk of a few hundred kilobytes, for a process alone: a tmpfs in namespaces of its own, without root."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

__all__ = ["mount_small", "resize"]

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_REMOUNT = 32


def mount_small(folder: Path, size: int) -> None:
    """Mount a file system of `size` bytes at `folder`, seen by this process and its children alone.

    Raises:
        OSError: the system does not allow it. Only a process of one thread may ask.
    """
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEWUSER | _NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount(folder, size, 0)


def resize(folder: Path, size: int) -> None:
    """Give a mounted file system another size."""
    _mount(folder, size, _REMOUNT)


def _mount(folder: Path, size: int, flags: int) -> None:
    _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(flags), f"size={size}".encode())


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
