"""The processes behind jobs: one that waits with everything imported, those at work, and what is said when one ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from dataclasses import dataclass, field, replace

import psutil

from tinylab.errors import BadRequest
from tinylab.interpreter import module_command, module_environment
from tinylab.runs.devices import visible_to
from tinylab.runs.endings import how_it_ended, last_exception, oom_kills
from tinylab.runs.record import Run, Status

__all__ = ["Child", "Spare", "end", "hand_over", "record_end", "record_stop"]

_ATTEMPTS = 3  # spares that may die just when they are needed


class Spare:
    """One process that has already imported everything and waits to be told which run to execute.

    Importing torch, diffusers and peft takes five to eight seconds on a slow machine; a spare hides that.
    It ends by itself when its standard input closes, so it never outlives the app; if it dies, another is started
    when one is needed.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def warm_up(self) -> subprocess.Popen:
        """Start the process, if none is waiting."""
        if self.process is None or self.process.poll() is not None:
            self.process = _worker()
        return self.process

    def take(self) -> subprocess.Popen:
        """The process, which is a spare no more."""
        process, self.process = self.warm_up(), None
        return process


@dataclass
class Child:
    """A worker of this process, and how things stood when it began.

    Attributes:
        asked: whether somebody here asked it to stop.
    """

    process: subprocess.Popen
    run: Run
    log_start: int = 0
    oom_before: int = field(default_factory=oom_kills)
    asked: bool = False


def hand_over(spare: Spare, run: Run, waiting: Status) -> Child:
    """Name the waiting process in the status of `run`, then tell it which run and which device are its own."""
    log = run.path / "log.txt"
    for _ in range(_ATTEMPTS):
        process = spare.take()
        child = Child(process, run, log.stat().st_size if log.is_file() else 0)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError, psutil.NoSuchProcess):  # it died just now
            started = psutil.Process(process.pid).create_time()
            run.write_status(replace(waiting, pid=process.pid, process_start=started))
            process.stdin.write(f"{run.path.absolute()}\t{waiting.slot}\t{visible_to(waiting.slot)}\n".encode())
            process.stdin.close()
            break
    return child


def end(process: subprocess.Popen | psutil.Process, grace: float) -> bool:
    """Ask a process to stop; kill it if it has not within `grace` seconds. Returns whether that was needed."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        process.kill()
        process.wait(5)
        return True
    return False


def record_end(child: Child) -> None:
    """Say in the status why a worker has ended, where it could not say so itself. For who decides."""
    code, pid = child.process.poll(), child.process.pid
    if code is None:
        return
    if child.asked and code in (-signal.SIGTERM, -signal.SIGKILL):
        record_stop(child.run, pid, killed=code == -signal.SIGKILL)
        return
    exception = last_exception(child.run.path / "log.txt", child.log_start)
    said = how_it_ended(code, short_of_memory=oom_kills() > child.oom_before, exception=exception)
    _record(child.run, pid, "interrupted", said)


def record_stop(run: Run, pid: int, *, killed: bool) -> None:
    """Say in the status that a process was ended on request, where it could not say so itself. For who decides."""
    if killed:
        _record(run, pid, "interrupted", "it did not stop in time and was killed")
    else:
        _record(run, pid, "stopped", "stopped before its first step")


def _record(run: Run, pid: int, state: str, message: str) -> None:
    """Write how it ended, unless the process has done so or another works on the run by now."""
    with contextlib.suppress(BadRequest, OSError):  # without it readers see that the process is gone, if not why
        status = run.stored_status()
        if status.active and status.pid == pid:
            run.write_status(replace(status, state=state, message=message, seconds_left=None))


def _worker() -> subprocess.Popen:
    return subprocess.Popen(
        module_command("tinylab.runs.worker"),
        env=module_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
