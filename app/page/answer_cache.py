"""Answers that many pages ask for are made once, and kept as they are sent."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any

__all__ = ["PollingPace", "ReadyAnswers"]


class ReadyAnswers:
    """Makes the answer to each question once, however many ask at the same time, and keeps the newest ones.

    Args:
        most: bytes that are kept; the answers that nobody has asked for the longest time go first.
    """

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0
        self._ready: OrderedDict[Hashable, bytes] = OrderedDict()
        self._under_way: dict[Hashable, Future[bytes]] = {}
        self._lock = Lock()

    def get(self, question: Hashable, make: Callable[[], bytes]) -> bytes:
        """The answer, made by `make` unless it is there; who asks meanwhile waits for the same. Errors are not kept."""
        with self._lock:
            if question in self._ready:
                self._ready.move_to_end(question)
                return self._ready[question]
            waiting = self._under_way.get(question)
            if waiting is None:
                mine = self._under_way[question] = Future()
        if waiting is not None:
            return waiting.result()
        try:
            answer = make()
        except BaseException as error:
            self._forget(question)
            mine.set_exception(error)
            raise
        self._keep(question, answer)
        mine.set_result(answer)
        return answer

    def _forget(self, question: Hashable) -> None:
        with self._lock:
            del self._under_way[question]

    def _keep(self, question: Hashable, answer: bytes) -> None:
        with self._lock:
            del self._under_way[question]
            if len(answer) > self._most:
                return
            self._ready[question] = answer
            self._taken += len(answer)
            while self._taken > self._most:
                _, oldest = self._ready.popitem(last=False)
                self._taken -= len(oldest)


_RATE = 10  # questions a second that all pages together ask about the run that they show
_SOONEST, _LATEST = 1000, 10_000  # milliseconds between two questions of a page
_GONE = 20.0  # seconds after which a page that has not asked is not counted any more
_MOST = 5000  # pages that are told from each other
_LONGEST = 40  # characters of what a page calls itself


class PollingPace:
    """Counts the pages that ask. What a page calls itself comes from outside and is only compared."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def pause(self, page: Any) -> int:
        """Milliseconds after which `page`, which asks now, should ask again."""
        now = self._clock()
        with self._lock:
            if isinstance(page, str) and len(page) <= _LONGEST:
                self._seen[page] = now
                self._seen.move_to_end(page)
            while self._seen and (len(self._seen) > _MOST or next(iter(self._seen.values())) < now - _GONE):
                self._seen.popitem(last=False)
            return min(_LATEST, max(_SOONEST, 1000 * len(self._seen) // _RATE))
