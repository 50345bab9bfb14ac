"""Starting and stopping jobs as processes of their own, so that no page, reload or crash of the app touches them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil

from tinylab.config import JobConfig
from tinylab.errors import BadRequest
from tinylab.interpreter import module_command, module_environment
from tinylab.runs.anchors import anchored
from tinylab.runs.checks import check
from tinylab.runs.record import Run, Status
from tinylab.runs.store import list_runs, new_run

__all__ = ["active_run", "launch", "reap", "relaunch", "stop", "warm_up"]

_GRACE = 15.0  # seconds a job has to reach a safe point before it is killed


class _Spare:
    """One process that has already imported everything and waits to be told which run to execute.

    Importing torch, diffusers and peft takes five to eight seconds on a slow machine; a spare hides that.
    It ends by itself when its standard input closes, so it never outlives the app.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def warm_up(self) -> None:
        """Start the process, if none is waiting."""
        if self.process is None or self.process.poll() is not None:
            self.process = _worker()

    def take(self, waiting: Status, run: Run) -> None:
        """Name the waiting process in the status of `run`, then hand it the run."""
        self.warm_up()
        process, self.process = self.process, None
        assert process is not None and process.stdin is not None
        _children.append(process)
        started = psutil.Process(process.pid).create_time()
        run.write_status(replace(waiting, pid=process.pid, process_start=started))
        with contextlib.suppress(BrokenPipeError):  # it died just now: the status then reads as interrupted
            process.stdin.write(f"{run.path.absolute()}\n".encode())
            process.stdin.close()


_spare = _Spare()
_children: list[subprocess.Popen] = []
_turn = threading.RLock()  # one browser tab at a time asks whether a job is at work, and starts one


def warm_up() -> None:
    """Have a process ready for the next job."""
    with _turn:
        _spare.warm_up()


def launch(config: JobConfig, path: Path | None = None) -> Run:
    """Check `config`, create its run and start it in the background.

    Raises:
        BadRequest: the config is wrong, or another job is at work (one at a time on this machine).
    """
    check(config)
    found = anchored(config)
    with _turn:
        _refuse_second()
        run = Run.create(path, found) if path else new_run(found)
        _start(run)
        return run


def relaunch(run: Run) -> None:
    """Let a stopped, failed or interrupted run go on from its newest checkpoint."""
    with _turn:
        status = run.status()
        if status.active:
            raise BadRequest(f"run {run.id} is at work already")
        if status.state == "finished":
            raise BadRequest(f"run {run.id} is finished; start a new one")
        if not any(run.checkpoints.glob("*")):  # what has begun has all it needs of plans that are gone since
            check(run.config())
        _refuse_second()
        _start(run)


def stop(run: Run) -> None:
    """Ask a job to stop at its next safe point; kill it if it does not within a grace period."""
    status = run.status()
    if not status.active:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(status.pid)
        if abs(process.create_time() - status.process_start) >= 1:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_GRACE)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(5)
            run.write_status(
                replace(run.stored_status(), state="interrupted", message="it did not stop in time and was killed")
            )
    reap()


def active_run() -> Run | None:
    """The run that a process works on now, if any."""
    reap()
    return next((run for run in list_runs() if run.status().active), None)


def reap() -> None:
    """Collect ended child processes, so that they do not linger as zombies."""
    with _turn:
        _children[:] = [child for child in _children if child.poll() is None]


def _refuse_second() -> None:
    busy = active_run()
    if busy:
        raise BadRequest(f"run {busy.id} is at work; wait for it or stop it first")


def _start(run: Run) -> None:
    waiting = replace(run.stored_status(), state="starting", message="", heartbeat=time.time(), seconds_left=None)
    _spare.take(waiting, run)


def _worker() -> subprocess.Popen:
    return subprocess.Popen(
        module_command("tinylab.runs.worker"),
        env=module_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
