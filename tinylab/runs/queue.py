"""The line of runs that wait for a device: who is next, when, and who is at work. It reads, and starts nothing.

Fair between owners: next is an owner with fewer jobs at work, then one whose runs have computed less in the last hour,
then the one that waits longest. Among the runs of one owner, who came first goes first.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinylab.errors import BadRequest
from tinylab.runs.deciding import stamp_of_line
from tinylab.runs.devices import devices
from tinylab.runs.durations import Paces
from tinylab.runs.owner import owner_of
from tinylab.runs.record import Run
from tinylab.runs.store import Listed, listed_runs

__all__ = ["Job", "Line", "Place", "Turn", "current_line", "line", "place_of", "read_line", "turns"]

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
        since: when it joined the line.
    """

    owner: str
    seconds: float | None = None
    since: float = 0.0


@dataclass(frozen=True)
class Turn:
    """Which of the jobs in line it is, and in how many seconds it starts; None where that cannot be told."""

    index: int
    starts: float | None


@dataclass(frozen=True)
class Place:
    """A run's place in line.

    Attributes:
        position: 1 for the run that starts next.
        ahead: jobs before it, those at work included.
        seconds: until it starts, about; None where nothing is known of one of those jobs.
    """

    position: int
    ahead: int
    seconds: float | None


@dataclass(frozen=True)
class Line:
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
    """The order in which jobs in line will start, played through to the end: every job at work counts for its owner.

    Args:
        used: the seconds that the runs of each owner have computed lately.
        slots: how many jobs work at once.
    """
    now, known = 0.0, all(job.seconds is not None for job in working)
    spent, ends = defaultdict(float, used), [(_length(job), job.owner) for job in working]
    lines: dict[str, deque[int]] = defaultdict(deque)  # who came first is first
    for index in sorted(range(len(waiting)), key=lambda index: (waiting[index].since, index)):
        lines[waiting[index].owner].append(index)
    order = []
    while lines:
        if len(ends) < slots:
            busy = Counter(owner for _, owner in ends)
            owner = min(lines, key=lambda name: (busy[name], spent[name], waiting[lines[name][0]].since))
            job = waiting[lines[owner][0]]
            order.append(Turn(lines[owner].popleft(), now if known or not now else None))
            if not lines[owner]:
                del lines[owner]
            ends.append((now + _length(job), owner))
            known = known and job.seconds is not None
        else:
            then = min(end for end, _ in ends)
            for _, owner in ends:
                spent[owner] += then - now
            now, ends = then, [each for each in ends if each[0] > then]
    return order


def read_line() -> Line:
    """The line as the run folders have it at this moment."""
    runs, now = listed_runs(), time.time()
    working = [each for each in runs if each.stored.active and each.run.status_of(each.stored).active]
    waiting = [each for each in runs if each.stored.state == "queued"]
    waiting.sort(key=lambda each: (each.stored.queued, each.stored.created, each.run.id))
    paces = Paces((each.config, each.stored) for each in runs) if waiting else Paces(())
    at_work = [Job(owner_of(each.run), _left(each, paces, now)) for each in working]
    in_line = [Job(owner_of(each.run), paces.left(each.config, each.stored), each.stored.queued) for each in waiting]
    slots = devices()
    order = turns(in_line, at_work, _used(runs, now) if waiting else {}, slots)
    return Line(
        waiting=tuple(waiting[turn.index].run for turn in order),
        starts=tuple(turn.starts for turn in order),
        working=tuple(each.run for each in working),
        free=_free([each.stored.slot for each in working], slots),
    )


def line() -> list[Run]:
    """The runs in line, in the order in which they will start."""
    return list(current_line().waiting)


def current_line() -> Line:
    """The line as it was at most half a second ago: cheap enough for many pages that ask every second."""
    return _recent_line.now()


def place_of(run: Run) -> Place | None:
    """The place of a run in line, None if it does not wait. Cheap enough for many pages that ask every second."""
    try:
        waits = run.stored_status().state == "queued"
    except BadRequest:
        return None
    return current_line().place(run) if waits else None


class _RecentLine:
    """The line as it was read last, read anew when it is old or somebody joined or left it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()  # of many that ask at once, one reads
        self._line, self._read, self._stamp = Line(), 0.0, ("", 0, 0)

    def now(self) -> Line:
        """The line, at most half a second old."""
        with self._turn:
            stamp = stamp_of_line()
            if stamp != self._stamp or time.monotonic() - self._read > _FRESH:
                self._line = read_line()
                settled = time.time_ns() - max(stamp[1:]) > _TICK
                self._read, self._stamp = time.monotonic(), stamp if settled else ("", 0, 0)
            return self._line


_recent_line = _RecentLine()


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
