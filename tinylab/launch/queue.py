"""The queue of runs that wait for a device: who is next, when, and who is at work. It reads, and starts nothing.

Fair between owners: next is an owner with fewer jobs at work, then one whose runs have computed less in the last hour,
then the one that waits longest. Among the runs of one owner, who came first goes first.
"""

import statistics
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tinylab.config import JobConfig, LoopConfig, kind_of
from tinylab.errors import BadRequest
from tinylab.launch.devices import devices
from tinylab.runs.locks import queue_stamp
from tinylab.runs.owner import owner_of
from tinylab.runs.run import Run
from tinylab.runs.status import Status
from tinylab.runs.store import Listed, listed_runs

__all__ = [
    "Job",
    "Queue",
    "Paces",
    "Place",
    "Turn",
    "Watch",
    "current_queue",
    "queued_runs",
    "place_of",
    "read_queue",
    "turns",
    "work_of",
]

_NEWEST = 5  # finished runs that are asked


class Paces:
    """Seconds a step, by kind and model.

    Args:
        runs: what was asked and its status, newest first; only what is finished counts.
    """

    def __init__(self, runs: Iterable[tuple[JobConfig, Status]]) -> None:
        self._found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for config, status in runs:
            paces = self._found[_sort_of(config)]
            if status.state == "finished" and status.seconds > 0 and len(paces) < _NEWEST:
                paces.append(status.seconds / work_of(config))

    def left(self, config: JobConfig, status: Status) -> float | None:
        """Seconds of computing that a run still needs; None where no such run is finished."""
        paces = self._found.get(_sort_of(config))
        if not paces:
            return None
        done = min(1.0, status.step / status.steps) if status.steps > 0 else 0.0
        return statistics.median(paces) * work_of(config) * (1 - done)


def work_of(config: JobConfig) -> float:
    """What the time of a job grows with: of training the images seen, else steps times what is done at each."""
    steps = max(1, getattr(config, "steps", 1)) * max(1, sum(getattr(config, "step_counts", ())))
    images = config.batch_size if isinstance(config, LoopConfig) else getattr(config, "n", 1)
    seeds = max(1, len(getattr(config, "seeds", ())))
    models = 1 + sum(len(getattr(config, name)) for name in kind_of(config).models)
    return float(steps * images * seeds * models)


def _sort_of(config: JobConfig) -> tuple[str, str]:
    """Runs that agree in this take about as long a step."""
    return config.kind, getattr(config, "model", None) or getattr(config, "preset", None) or ""


_RECENT = 3600.0  # seconds back that count for fairness
_GUESS = 60.0  # seconds taken for a job of which nothing is known, where only the order matters
_FRESH = 0.5  # seconds for which an answer is good
_TICK = 50_000_000  # nanoseconds within which a second change could leave the same time on a file


@dataclass(frozen=True)
class Job:
    """What decides on a turn.

    Attributes:
        owner: whose it is.
        seconds: how long it still computes, None where nothing is known.
        since: when it joined the queue.
    """

    owner: str
    seconds: float | None = None
    since: float = 0.0


@dataclass(frozen=True)
class Turn:
    """Which of the queued jobs it is, and in how many seconds it starts; None where that is unknown."""

    index: int
    starts: float | None


@dataclass(frozen=True)
class Place:
    """A run's place in the queue.

    Attributes:
        position: 1 for the run that starts next.
        ahead: jobs before it, those at work included.
        seconds: until it starts, about; None where nothing is known of one of those jobs.
    """

    position: int
    ahead: int
    seconds: float | None


@dataclass(frozen=True)
class Queue:
    """Who waits, in the order in which they will start, who is at work, and which devices are free."""

    waiting: tuple[Run, ...] = ()
    starts: tuple[float | None, ...] = ()
    working: tuple[Run, ...] = ()
    free: tuple[int, ...] = ()

    def place(self, run: Run) -> Place | None:
        """The place of a run, None if it does not wait."""
        path = run.path.absolute()
        for index, (other, starts) in enumerate(zip(self.waiting, self.starts, strict=True)):
            if other.path == path:
                return Place(index + 1, index + len(self.working), starts)
        return None


def turns(waiting: Sequence[Job], working: Sequence[Job], used: Mapping[str, float], slots: int) -> list[Turn]:
    """The order in which queued jobs will start, played through to the end: every job at work counts for its owner.

    Args:
        used: the seconds that the runs of each owner have computed lately.
        slots: how many jobs work at once.
    """
    now, known = 0.0, all(job.seconds is not None for job in working)
    spent, ends = defaultdict(float, used), [(_length(job), job.owner) for job in working]
    queues: dict[str, deque[int]] = defaultdict(deque)  # who came first is first
    for index in sorted(range(len(waiting)), key=lambda index: (waiting[index].since, index)):
        queues[waiting[index].owner].append(index)
    order = []
    while queues:
        if len(ends) < slots:
            busy = Counter(owner for _, owner in ends)
            owner = min(queues, key=lambda name: (busy[name], spent[name], waiting[queues[name][0]].since))
            job = waiting[queues[owner][0]]
            order.append(Turn(queues[owner].popleft(), now if known or not now else None))
            if not queues[owner]:
                del queues[owner]
            ends.append((now + _length(job), owner))
            known = known and job.seconds is not None
        else:
            then = min(end for end, _ in ends)
            for _, owner in ends:
                spent[owner] += then - now
            now, ends = then, [each for each in ends if each[0] > then]
    return order


def read_queue() -> Queue:
    """The queue as the run folders have it at this moment."""
    runs, now = listed_runs(), time.time()
    working = [each for each in runs if each.stored.active and each.run.status_of(each.stored).active]
    waiting = [each for each in runs if each.stored.state == "queued"]
    waiting.sort(key=lambda each: (each.stored.queued, each.stored.created, each.run.id))
    paces = Paces((each.config, each.stored) for each in runs) if waiting else Paces(())
    at_work = [Job(owner_of(each.run), _left(each, paces, now)) for each in working]
    queued = [Job(owner_of(each.run), paces.left(each.config, each.stored), each.stored.queued) for each in waiting]
    slots = devices()
    order = turns(queued, at_work, _used(runs, now) if waiting else {}, slots)
    return Queue(
        waiting=tuple(waiting[turn.index].run for turn in order),
        starts=tuple(turn.starts for turn in order),
        working=tuple(each.run for each in working),
        free=_free([each.stored.slot for each in working], slots),
    )


def queued_runs() -> list[Run]:
    """The queued runs, in the order in which they will start."""
    return list(current_queue().waiting)


def current_queue() -> Queue:
    """The queue as it was at most half a second ago: cheap enough for many pages that ask every second."""
    return _recent_queue.now()


def place_of(run: Run) -> Place | None:
    """The place of a run in the queue, None if it does not wait. Cheap enough for many pages that ask every second."""
    return current_queue().place(run) if _stored(run).state == "queued" else None


class _RecentQueue:
    """The queue as it was read last, read again when it is old or somebody joined or left it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()  # of many that ask at once, one reads
        self._queue, self._read, self._stamp = Queue(), 0.0, ("", 0, 0)

    def now(self) -> Queue:
        """The queue, at most half a second old."""
        with self._turn:
            stamp = queue_stamp()
            if stamp != self._stamp or time.monotonic() - self._read > _FRESH:
                self._queue = read_queue()
                settled = time.time_ns() - max(stamp[1:]) > _TICK
                self._read, self._stamp = time.monotonic(), stamp if settled else ("", 0, 0)
            return self._queue


_recent_queue = _RecentQueue()


def _length(job: Job) -> float:
    return _GUESS if job.seconds is None else job.seconds


def _left(listed: Listed, paces: Paces, now: float) -> float | None:
    """Seconds that a run at work still needs."""
    status = listed.stored
    if status.seconds_left is not None:
        return max(0.0, status.seconds_left - max(0.0, now - status.heartbeat))
    return paces.left(listed.config, status)


def _used(runs: Sequence[Listed], now: float) -> dict[str, float]:
    """Seconds that the runs of each owner have computed in the last hour, each as if without a break up to its end."""
    used: dict[str, float] = defaultdict(float)
    for listed in runs:
        recent = min(listed.stored.seconds, listed.stored.heartbeat - (now - _RECENT), _RECENT)
        if recent > 0:
            used[owner_of(listed.run)] += recent
    return used


def _free(taken: Sequence[int], slots: int) -> tuple[int, ...]:
    """The devices that are free; a job that was given none, as one from a terminal, takes the first there is."""
    known = {slot for slot in taken if 0 <= slot < slots}
    free = [slot for slot in range(slots) if slot not in known]
    return tuple(free[len(taken) - len(known) :])


_SOON = 15.0  # seconds before its turn a job's process begins to import what it needs


class Watch:
    """Whether it is worth reading the queue again, from the stamps and the few jobs at work alone."""

    def __init__(self) -> None:
        self._stamp, self._queue = ("", 0, 0), Queue()

    def remember(self, stamp: tuple[str, int, int], queue: Queue) -> None:
        """Keep what was read; `stamp` is of before the reading."""
        self._stamp, self._queue = stamp, queue

    def something_happened(self) -> bool:
        """Whether the queue has changed, or a job has ended for which somebody waits."""
        if queue_stamp() != self._stamp:
            return True
        return bool(self._queue.waiting) and (bool(self._queue.free) or not all(map(_works, self._queue.working)))

    def soon(self) -> bool:
        """Whether somebody waits for a job that is about to end: time to have a process ready."""
        return bool(self._queue.waiting) and any(map(_ends_soon, self._queue.working))


def _works(run: Run) -> bool:
    return run.status_of(_stored(run)).active


def _ends_soon(run: Run) -> bool:
    left = _stored(run).seconds_left
    return left is not None and left < _SOON


def _stored(run: Run) -> Status:
    """The status as last written; that of a run which never began where the folder is gone."""
    try:
        return run.stored_status()
    except BadRequest:
        return Status()
