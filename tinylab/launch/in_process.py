"""Jobs that this process computes itself, instead of a worker: a Space with ZeroGPU lends its GPU to no other.

The starter of the app sets which kinds of job, and by what function: `run_here`. A job then computes in a thread, or
where that function takes it. There it gets no signals; it is asked to stop by a file in its folder.
"""

import contextlib
import contextvars
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from tinylab.errors import BadRequest, Failure, Stopped
from tinylab.launch.handover import record_state
from tinylab.runs.run import STOP, Run, Status, own_process

__all__ = ["begin", "execute_here", "remember", "run_here", "stop"]


_GRACE = 15.0  # seconds a job has to reach a safe point
_runners: dict[str, Callable[[str], None]] = {}  # by kind of job
_askers: dict[str, contextvars.Context] = {}  # by run: who asked for it, as Gradio knows it
_working: set[str] = set()


def run_here(kinds: Iterable[str], runner: Callable[[str], None]) -> None:
    """From now on `runner(folder)` does the jobs of these kinds; it has to call `execute_here(folder)`."""
    _runners.update(dict.fromkeys(kinds, runner))


def execute_here(folder: str) -> None:
    """Do the job of the run in that folder. How it ended is in the run's status."""
    from tinylab.jobs.execute import execute

    with contextlib.suppress(BadRequest, Failure, Stopped):
        execute(Run.open(Path(folder)), quiet=True)


def remember(run: Run) -> None:
    """Keep who asks for a run that may have to wait: a lent GPU is charged to that visitor's account."""
    if _runner(run):
        _askers[_name(run)] = contextvars.copy_context()


def begin(run: Run, starting: Status) -> bool:
    """Start the job of `run` in this process, if it is of a kind that is done here; `starting` is its status then."""
    runner = _runner(run)
    if runner is None:
        return False
    name, here = _name(run), own_process()
    context = _askers.pop(name, None) or contextvars.copy_context()
    (run.path / STOP).unlink(missing_ok=True)
    run.write_status(replace(starting, pid=here["pid"], process_start=here["process_start"]))
    _working.add(name)
    threading.Thread(target=context.run, args=(_work, run, runner), name=f"job {run.id}", daemon=True).start()
    return True


def stop(run: Run) -> bool:
    """Ask the job of `run` to stop and wait a while until it has; False if this process does not do it.

    Whoever stops jobs asks here first: a signal to the process of such a job would end the app.
    """
    if _name(run) not in _working and run.stored_status().pid != os.getpid():
        return False
    (run.path / STOP).touch()
    until = time.monotonic() + _GRACE
    while _name(run) in _working and time.monotonic() < until:
        time.sleep(0.05)
    return True


def _work(run: Run, runner: Callable[[str], None]) -> None:
    try:
        runner(_name(run))
        record_state(run, None, "interrupted", "it ended without a word; resume it")
    except Exception as error:  # no GPU was lent, or it was taken back: the job itself could not record it
        record_state(run, None, "interrupted", str(error) or type(error).__name__)
    finally:
        (run.path / STOP).unlink(missing_ok=True)
        _working.discard(_name(run))


def _runner(run: Run) -> Callable[[str], None] | None:
    return _runners.get(run.config().kind) if _runners else None


def _name(run: Run) -> str:
    return str(run.path.absolute())
