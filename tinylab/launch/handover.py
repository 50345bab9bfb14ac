"""The processes behind jobs: how one gets its work, and what is recorded when it ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from tinylab.errors import BadRequest, Failure
from tinylab.launch.devices import visible_to
from tinylab.launch.fork_server import Forked, ForkServer
from tinylab.runs.exit_reasons import exit_reason, last_exception, oom_kills
from tinylab.runs.run import Run, Status
from tinylab.runs.status import SLOT

__all__ = [
    "Child",
    "handover_message",
    "end_process",
    "hand_over",
    "read_handover",
    "record_end",
    "record_state",
    "record_stop",
]

_OURS = "TINYLAB_"  # environment variables that may differ between the launcher and a process that was there before


def handover_message(folder: Path, slot: int) -> bytes:
    """The order to do the job of the run in `folder` on the device with the number `slot`, as one line of JSON."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(_OURS)} | {SLOT: str(slot)}
    if visible := visible_to(slot):
        settings["CUDA_VISIBLE_DEVICES"] = visible
    return f"{json.dumps({'run': str(folder.absolute()), 'settings': settings})}\n".encode()


def read_handover(channel: socket.socket) -> str:
    """Read a `handover_message`, take the settings over, and return the folder of the run.

    Returns:
        "" if the launcher is gone and sent none.
    """
    with channel.makefile("rb") as lines:
        line = lines.readline()
    if not line.endswith(b"\n"):
        return ""
    work = json.loads(line)
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    os.environ.update(work["settings"])
    return work["run"]


_ATTEMPTS = 3  # processes that may die just when they are needed


@dataclass
class Child:
    """A process with a job that this one has started, and what was known when it began.

    Attributes:
        asked: whether somebody here asked it to stop.
        killed: whether it was killed then, because it did not.
    """

    process: subprocess.Popen | Forked
    run: Run
    log_start: int = 0
    oom_before: int = field(default_factory=oom_kills)
    asked: bool = False
    killed: bool = False


def hand_over(fork_server: ForkServer, run: Run, waiting: Status) -> Child:
    """Name a process in the status of `run`, then send it which run and which device are its own.

    Raises:
        Failure: processes died as fast as they were started, or there is no room for another.
    """
    log = run.path / "log.txt"
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(ConnectionError, psutil.NoSuchProcess):  # it died just now
            process, channel = fork_server.order()
            with contextlib.ExitStack() as on_trouble:
                on_trouble.callback(channel.close)  # a process whose work does not come ends
                child = Child(process, run, log.stat().st_size if log.is_file() else 0)
                started = psutil.Process(process.pid).create_time()
                run.write_status(replace(waiting, pid=process.pid, process_start=started))
                channel.sendall(handover_message(run.path, waiting.slot))
                if isinstance(process, Forked):  # its end is reported there
                    on_trouble.pop_all()
            return child
    raise Failure(
        f"the process of this job ended {_ATTEMPTS} times before it began; see why: tinylab resume {run.path}"
    )


def end_process(process: subprocess.Popen | Forked | psutil.Process, grace: float) -> bool:
    """Ask a process to stop; kill it if it has not within `grace` seconds. Returns whether that was needed."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired, psutil.TimeoutExpired):  # it hangs in the system
            process.wait(5)
        return True
    return False


def record_end(child: Child) -> None:
    """Record in the status why a worker has ended, where it could not do so itself. For the holder of the queue."""
    code, pid = child.process.poll(), child.process.pid
    if code is None:
        return
    if child.asked and code in (-signal.SIGTERM, -signal.SIGKILL, 0):  # 0: nobody saw how, and it could not record it
        record_stop(child.run, pid, killed=child.killed or code == -signal.SIGKILL)
        return
    exception = last_exception(child.run.path / "log.txt", child.log_start)
    reason = exit_reason(code, short_of_memory=oom_kills() > child.oom_before, exception=exception)
    record_state(child.run, pid, "interrupted", reason)


def record_stop(run: Run, pid: int, *, killed: bool) -> None:
    """Record that a process was ended on request, where it could not do so itself. For the holder of the queue."""
    if killed:
        record_state(run, pid, "interrupted", "it did not stop in time and was killed")
    else:
        record_state(run, pid, "stopped", "stopped before its first step")


def record_state(run: Run, pid: int | None, state: str, message: str) -> None:
    """Write how it ended, unless the process has done so or another works on the run by now; pid None: any."""
    with contextlib.suppress(BadRequest, OSError):  # without it readers see that the process is gone, if not why
        status = run.stored_status()
        if status.active and pid in (None, status.pid):
            run.write_status(replace(status, state=state, message=message, seconds_left=None))
