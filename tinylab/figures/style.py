"""Colours, the common layout and axes. Colours are Okabe and Ito's, which colour-blind people can tell apart."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "ACCENT",
    "COLOURS",
    "LINE_COLOURS",
    "MUTED",
    "REFERENCE",
    "SYMBOLS",
    "axis",
    "block_axis",
    "figure",
    "level_line",
    "log_axis",
]

ACCENT = "#009E73"
MUTED = "rgba(128,128,128,0.25)"
COLOURS = ("#009E73", "#0072B2", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#999999")
LINE_COLOURS = COLOURS[:6]  # yellow and grey are hard to see as a line
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")  # so that colour alone decides nothing
REFERENCE = {"dash": "dot", "color": "#888"}  # the line of what others are compared with
_LEGEND_LINE = 20  # pixels


def figure(
    traces: list[Any], *, key: str, height: int, heading: str, legend_lines: int = 0, **layout: Any
) -> dict[str, Any]:
    """A figure as plain JSON-ready data. `key` keeps zoom and hidden lines as long as it stays the same.

    Background and font are left open: the page fills them in for light and dark. Lines of a legend above the picture
    come on top of `height`.
    """
    common = {
        "uirevision": key,
        "height": height + _LEGEND_LINE * legend_lines,
        "margin": {"l": 56, "r": 18, "t": 52 + _LEGEND_LINE * (legend_lines or 1), "b": 44},
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


def block_axis(names: Sequence[str], **more: Any) -> dict[str, Any]:
    """An axis of blocks by name, each of which is labelled as long as there are few."""
    return axis("block", type="category", dtick=1 if len(names) <= 16 else None, **{"showgrid": False, **more})


def level_line(direction: str, value: float, **style: Any) -> dict[str, Any]:
    """A dotted line through the whole picture at the `value` of the axis `direction`, x or y."""
    across = "y" if direction == "x" else "x"
    ends = {f"{direction}0": value, f"{direction}1": value, f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1}
    return {"type": "line", **ends, "line": {**REFERENCE, **style}}


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
