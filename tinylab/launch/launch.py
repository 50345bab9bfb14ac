"""Starting and stopping jobs as processes of their own, so that no page, reload or crash of the app touches them.

One job a device; who finds none free waits in the queue (`tinylab.launch.queue`), and `tend` starts whose turn it is.
"""

import contextlib
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path

import psutil

from tinylab.config import JobConfig
from tinylab.errors import BadRequest, Failure
from tinylab.jobs.admission import admit, check
from tinylab.launch import in_process
from tinylab.launch.devices import devices
from tinylab.launch.fork_server import ForkServer, may_fork
from tinylab.launch.handover import Child, end_process, hand_over, record_end, record_stop
from tinylab.launch.queue import Watch, read_queue
from tinylab.paths import runs_folder
from tinylab.runs.locks import QueueBusy, queue_changed, queue_lock, queue_stamp
from tinylab.runs.owner import owner_of
from tinylab.runs.run import Run
from tinylab.runs.status import Status, is_alive
from tinylab.runs.store import in_runs_folder, listed_runs

__all__ = ["active_run", "launch", "reap", "relaunch", "stop", "tend", "tend_always", "warm_up"]

_GRACE = 15.0  # seconds a job has to reach a safe point before it is killed
_PULSE = 0.5  # seconds between two checks of the queue
_REST = 5.0  # seconds after a check that failed
_TENDER = "tinylab-queue"

_fork_server = ForkServer()
_children: list[Child] = []
_turn = threading.RLock()  # for the two above
_watch = Watch()
_unstartable: set[Path] = set()  # runs that could neither be started nor have a status that says so


def warm_up() -> None:
    """Have a process ready for the next job."""
    with _turn:
        _fork_server.warm_up()


def launch(
    config: JobConfig, path: Path | None = None, *, owner: str = "", waits: bool = True, most: int | None = None
) -> Run:
    """Check `config`, create its run and start it in the background, at once or when its turn comes.

    Args:
        path: the run's folder; outside the runs folder it cannot wait.
        owner: whose run it is, "" for nobody's.
        waits: where no device is free, join the queue; else that is refused.
        most: how many runs of one owner may wait.

    Raises:
        BadRequest: the config is wrong, no device is free and the run does not wait, or `most` of them do already.
        Failure: no process can be started.
    """
    admitted = admit(config)
    with queue_lock():
        _check_room(owner, waits and (path is None or in_runs_folder(path)), most)
        run = admitted.create_run(path, owner=owner)
        _join(run)
        return run


def relaunch(run: Run, *, waits: bool = True, most: int | None = None) -> None:
    """Let a stopped, failed or interrupted run go on from its newest checkpoint; it waits for its turn as a new one."""
    with queue_lock():
        reap()
        status = run.status()
        if status.active:
            raise BadRequest(f"run {run.id} is at work already")
        if status.state == "queued":
            raise BadRequest(f"run {run.id} is in line already; wait, or take it out")
        if status.state == "finished":
            raise BadRequest(f"run {run.id} is finished; start a new one")
        if not any(run.checkpoints.glob("*")):  # what has begun has all it needs of plans that are gone since
            check(run.config())
        _check_room(owner_of(run), waits and in_runs_folder(run.path), most)
        _join(run)


def stop(run: Run) -> None:
    """Take a run out of the queue. Or ask a job to stop at its next safe point; kill it if it does not within a grace.

    A stopped run can go on, whether it had begun or not.
    """
    if _leave(run) or in_process.stop(run):
        return
    status = run.status()
    if not status.active:
        return
    child = _child(status.pid)
    if child:
        child.asked = True
        child.killed = end_process(child.process, _GRACE)
        reap()
    else:
        _end_foreign(run, status)


def active_run() -> Run | None:
    """A run that a process works on now, if any: the newest."""
    reap()
    return next(
        (each.run for each in listed_runs() if each.stored.active and each.run.status_of(each.stored).active), None
    )


def reap() -> None:
    """Collect ended child processes, so that they do not linger, and write into their runs why they ended."""
    with _turn:
        ended = [child for child in _children if child.process.poll() is not None]
    if not ended:
        return
    with contextlib.suppress(QueueBusy), queue_lock():  # what is left undone is done when this is called again
        for child in ended:
            record_end(child)
            with _turn, contextlib.suppress(ValueError):  # another thread did the same
                _children.remove(child)


def tend() -> None:
    """Look after the queue once: collect what has ended, start whose turn it is. Cheap where nothing has changed."""
    reap()
    if not runs_folder().is_dir():
        return
    with _turn:
        if _children and may_fork():  # the first job may have taken the process that others should come from
            warm_up()
    if not _watch.something_happened():
        if _watch.soon():
            warm_up()
        return
    with contextlib.suppress(QueueBusy), queue_lock(0):  # the holder of the lock looks after the queue, too
        _start_next()


def tend_always() -> None:
    """Have a thread look after the queue from now on, about twice a second; one, however often this is called.

    Raises:
        BadRequest: the number of devices is set to what is none.
    """
    devices()
    with _turn:
        if not any(thread.name == _TENDER for thread in threading.enumerate()):
            threading.Thread(target=_tend_for_ever, name=_TENDER, daemon=True).start()


def _tend_for_ever() -> None:
    while True:
        try:
            tend()
            time.sleep(_PULSE)
        except Exception:  # whatever it is, those that wait must not wait for ever
            traceback.print_exc(file=sys.stderr)
            time.sleep(_REST)


def _check_room(owner: str, waits: bool, most: int | None) -> None:
    """BadRequest if a job more would have to wait and may not."""
    reap()
    queue = read_queue()
    if len(queue.free) > len(queue.waiting):
        return
    if not waits:
        busy = next(iter([*queue.working, *queue.waiting]))
        raise BadRequest(f"run {busy.id} is at work; wait for it or stop it first")
    own = sum(owner_of(run) == owner for run in queue.waiting)
    if most is not None and own >= most:
        jobs = "1 job" if own == 1 else f"{own} jobs"
        raise BadRequest(f"you have {jobs} in line already; wait or take one out")


def _join(run: Run) -> None:
    """Put a run into the queue, and start it if it is its turn."""
    waiting = replace(run.stored_status(), state="queued", message="", queued=time.time(), seconds_left=None, slot=-1)
    run.write_status(waiting)
    in_process.remember(run)
    queue_changed()
    _unstartable.discard(run.path)
    if in_runs_folder(run.path):
        _start_next(run)
    else:
        try:
            _start(run, read_queue().free[0])
        except (BadRequest, Failure, OSError) as error:  # nobody would start it later
            _refuse(run, error)
            raise


def _leave(run: Run) -> bool:
    """Take a run out of the queue; False if it does not wait."""
    if run.status().state != "queued":
        return False
    with queue_lock():
        status = run.status()
        if status.state != "queued":  # its turn came just now
            return False
        word = "went on" if status.step else "began"
        run.write_status(replace(status, state="stopped", message=f"taken out of the queue before it {word}"))
        queue_changed()
        return True


def _start_next(asked: Run | None = None) -> None:
    """Start those whose turn it is on the devices that are free. For the holder of the lock.

    What keeps the run that was `asked` for from starting is raised; any other run has it in its status.
    """
    stamp, queue = queue_stamp(), read_queue()
    waiting = [run for run in queue.waiting if run.path not in _unstartable]
    for slot, run in zip(queue.free, waiting, strict=False):
        try:
            _start(run, slot)
        except (BadRequest, Failure, OSError) as error:
            _refuse(run, error)
            if asked is not None and run.path == asked.path:
                raise
    _watch.remember(stamp, read_queue() if queue.free and waiting else queue)


def _refuse(run: Run, error: Exception) -> None:
    """Write into a run that it could not start; where even that fails, it is left alone from now on."""
    try:
        run.write_status(replace(run.stored_status(), state="failed", message=f"it could not start: {error}"))
    except (BadRequest, OSError):
        _unstartable.add(run.path)


def _start(run: Run, slot: int) -> None:
    starting = replace(run.stored_status(), state="starting", heartbeat=time.time(), slot=slot)
    if in_process.begin(run, starting):
        return
    with _turn:
        _children.append(hand_over(_fork_server, run, starting))


def _child(pid: int) -> Child | None:
    with _turn:
        return next((child for child in _children if child.process.pid == pid), None)


def _end_foreign(run: Run, status: Status) -> None:
    """End a job that another process has started: a terminal, or the app before it was restarted."""
    killed = False
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(status.pid)
        if not is_alive(status):
            return
        killed = end_process(process, _GRACE)
    with queue_lock():
        record_stop(run, status.pid, killed=killed)
