"""What a run in line waits for, in words."""

from __future__ import annotations

from tinylab.reports.names import duration
from tinylab.runs.queue import place_of
from tinylab.runs.record import Run

__all__ = ["waiting_words"]


def waiting_words(run: Run) -> str:
    """The place of a run in line and when it starts, about; "" for a run that does not wait."""
    place = place_of(run)
    if place is None:
        return ""
    ahead = "nothing is before it" if not place.ahead else f"{place.ahead} job{'s' * (place.ahead > 1)} before it"
    starts = "" if place.seconds is None else f", starts in about {duration(round(place.seconds, -1) or 10)}"
    return f"Place {place.position} in line: {ahead}{starts}. This page can be closed; the run keeps its place."
