"""How many pages are open, and how often each may ask so that all of them together leave the machine to the jobs."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

__all__ = ["Crowd"]

_RATE = 10  # questions a second that all pages together ask about the run that they show
_SOONEST, _LATEST = 1000, 10_000  # milliseconds between two questions of a page
_GONE = 20.0  # seconds after which a page that has not asked is not counted any more
_MOST = 5000  # pages that are told from each other
_LONGEST = 40  # characters of what a page calls itself


class Crowd:
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
