"""Why a job ended that did not record it itself, in one line that names the remedy."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

__all__ = ["exit_reason", "last_exception", "oom_kills", "out_of_memory", "silent_exit"]

_NO_MEMORY = "memory ran out; free some and resume it, or start again with fewer images a step"
_OF_MEMORY = re.compile(r"out of memory|can(?:no|')t allocate memory|bad_alloc|MemoryError", re.IGNORECASE)
_TAIL = 64 * 1024  # bytes of a log that are looked at
_LONGEST = 300  # characters of an exception that are shown
_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*)?")
_FATAL = re.compile(r"Fatal Python error: .*")
_TRACEBACK = "Traceback (most recent call last):"
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP")
_GROUPS = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")
_MACHINE = Path("/proc/vmstat")


def exit_reason(code: int, *, short_of_memory: bool = False, exception: str = "") -> str:
    """What an exit status means, as `subprocess` gives it: the negative number of a signal, or what was returned.

    Args:
        short_of_memory: the system killed some process for memory while the job worked.
        exception: the last exception in the job's log, "" for none.
    """
    if code < 0:
        return _killed(-code, short_of_memory, exception)
    if exception:
        return out_of_memory(exception) or f"its process ended with {exception}; log.txt in its folder says more"
    if code:
        return f"its process ended with exit status {code} and no word in log.txt; resume it"
    return silent_exit()


def silent_exit(exception: str = "") -> str:
    """The reason shown for a job whose end nobody saw; `exception` is the last in its log."""
    reason = "its process ended without a word; resume it"
    return f"{reason}. Its log ends with: {exception}" if exception else reason


def out_of_memory(error: BaseException | str) -> str:
    """The reason shown where Python, torch or CUDA raised this for want of memory; "" for every other exception."""
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}".removesuffix(": ")
    return f"{_NO_MEMORY} ({_shortened(text)})" if _OF_MEMORY.search(text) else ""


def last_exception(log: Path, start: int = 0) -> str:
    """The exception that a log ends with, as its last line names it; "" where it ends otherwise.

    Args:
        start: where to begin reading; output of an earlier process does not count.
    """
    try:
        with log.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(start, size - _TAIL))
            lines = file.read(_TAIL).decode(errors="replace").splitlines()
    except OSError:
        return ""
    for index in range(len(lines) - 1, -1, -1):
        if _FATAL.fullmatch(lines[index]):
            return _shortened(lines[index])
        if lines[index].strip() == _TRACEBACK:
            return next((_shortened(line) for line in lines[index + 1 :] if _EXCEPTION.fullmatch(line)), "")
    return ""


def oom_kills() -> int:
    """How many processes the system has killed for memory so far: in this container, or on this machine."""
    return next((count for count in map(_count_in, _counters()) if count is not None), 0)


def _counters() -> Iterator[Path]:
    """Where the system counts, the closest first."""
    with contextlib.suppress(OSError):
        for line in _GROUPS.read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if not controllers:
                yield _CGROUPS / group.lstrip("/") / "memory.events"
            elif controllers == "memory":
                yield _CGROUPS / "memory" / group.lstrip("/") / "memory.oom_control"
    yield _CGROUPS / "memory.events"
    yield _MACHINE


def _count_in(counter: Path) -> int | None:
    """The number behind `oom_kill` in a file of names and numbers."""
    try:
        words = (line.split() for line in counter.read_text().splitlines())
        return next((int(line[1]) for line in words if len(line) == 2 and line[0] == "oom_kill"), None)
    except (OSError, ValueError):
        return None


def _killed(number: int, short_of_memory: bool, exception: str) -> str:
    name = signal.Signals(number).name if number in set(signal.Signals) else "an unknown signal"
    if number == signal.SIGKILL and short_of_memory:
        return f"the system killed it because {_NO_MEMORY}"
    if number == signal.SIGKILL:
        return f"it was killed (signal 9); most often {_NO_MEMORY}"
    if out_of_memory(exception):
        return out_of_memory(exception)
    if name in _CRASHES:
        where = f" after {exception}" if exception and not _FATAL.fullmatch(exception) else ""
        return (
            f"its process crashed with {name} (signal {number}){where}: a fault in a library or driver; "
            "resume it, and if it crashes again, log.txt in its folder says where"
        )
    return f"it was ended by {name} (signal {number}); resume it"


def _shortened(line: str) -> str:
    shown = " ".join(line.split())
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
