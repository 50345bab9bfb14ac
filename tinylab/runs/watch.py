"""What was seen at the last look at the line, so that it need not be read anew while nothing happens."""

from __future__ import annotations

from tinylab.errors import BadRequest
from tinylab.runs.deciding import stamp_of_line
from tinylab.runs.queue import Line
from tinylab.runs.record import Run

__all__ = ["Watch"]

_SOON = 15.0  # seconds before its turn a job's process begins to import what it needs


class Watch:
    """Tells whether another look at the line is worth it, from the stamps and the few jobs at work alone."""

    def __init__(self) -> None:
        self._stamp, self._line = ("", 0, 0), Line()

    def remember(self, stamp: tuple[str, int, int], line: Line) -> None:
        """Keep what was seen; `stamp` is of before the look."""
        self._stamp, self._line = stamp, line

    def something_happened(self) -> bool:
        """Whether the line has changed, or a job has ended for which somebody waits."""
        if stamp_of_line() != self._stamp:
            return True
        return bool(self._line.waiting) and (bool(self._line.free) or not all(map(_works, self._line.working)))

    def soon(self) -> bool:
        """Whether somebody waits for a job that is about to end: time to have a process ready."""
        return bool(self._line.waiting) and any(map(_ends_soon, self._line.working))


def _works(run: Run) -> bool:
    try:
        return run.status().active
    except BadRequest:
        return False


def _ends_soon(run: Run) -> bool:
    try:
        left = run.stored_status().seconds_left
    except BadRequest:
        return False
    return left is not None and left < _SOON
