"""Axes of losses: a log scale, labelled with round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tinylab.figures.style import axis

__all__ = ["log_axis"]

_LEADS = (  # leading digits of the numbers on a log axis, and how many of them make an axis readable
    ((1, 2, 5), 4),
    ((1, 1.5, 2, 3, 5, 7), 4),
    ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), 3),
    (tuple(n / 10 for n in range(10, 100)), 0),
)
_ROOM = 1.12  # factor left free at both ends


def log_axis(title: str, values: Iterable[float], *, room: float = _ROOM) -> dict[str, Any]:
    """An axis over all `values` that a log scale can show, with some room at both ends."""
    shown = [value for value in values if 0 < value < math.inf]
    low, high = min(shown, default=0.1) / room, max(shown, default=1.0) * room
    ticks = _ticks(low, high)
    return axis(
        title,
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[f"{tick:g}" for tick in ticks],
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, few enough to be read: the coarsest list that has enough of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for leads, enough in _LEADS:
        ticks = [round(lead * 10.0**decade, 12) for decade in decades for lead in leads]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= enough:
            break
    return ticks
