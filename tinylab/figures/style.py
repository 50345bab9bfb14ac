"""Colours, the common layout and axes. Colours are Okabe and Ito's, which colour-blind people can tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
import math
from collections.abc import Iterable

__all__ = ["ACCENT", "COLOURS", "MUTED", "axis", "figure", "log_axis"]

ACCENT = "#009E73"
MUTED = "rgba(128,128,128,0.25)"
COLOURS = ("#009E73", "#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#999999")


def figure(traces: list[Any], *, key: str, height: int, heading: str, **layout: Any) -> dict[str, Any]:
    """A figure as plain JSON-ready data. `key` keeps zoom and hidden lines as long as it stays the same.

    Background and font are left open: the page fills them in for light and dark.
    """
    common = {
        "uirevision": key,
        "height": height,
        "margin": {"l": 56, "r": 18, "t": 72, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "title": {
            "text": heading,
            "font": {"size": 15, "weight": 600},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 16, "t": 14},
        },
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0, "xanchor": "left"},
    }
    # Traces have been checked where they were made; a `go.Figure` would take longer than all the rest of a view.
    return {"data": [trace.to_plotly_json() for trace in traces], "layout": _merged(common, layout)}


def _merged(common: Mapping[str, Any], special: Mapping[str, Any]) -> dict[str, Any]:
    """The common layout with what is special, entry by entry of what both describe; nothing that is None."""
    found = dict(common)
    for name, value in special.items():
        if isinstance(value, Mapping):
            found[name] = _merged(found.get(name, {}), value)
        elif value is not None:  # plotly.js takes no null for a range
            found[name] = value
    return found


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a quiet grid, its numbers a little away from the picture."""
    return {
        "title": {"text": title, "font": {"size": 13}},
        "gridcolor": MUTED,
        "zeroline": False,
        "automargin": True,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "rgba(0,0,0,0)",
        **more,
    }


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
