"""A study as a picture: every candidate's loss before fine-tuning against the one after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.log_axis import log_axis
from tinylab.figures.style import COLOURS, figure

__all__ = ["candidate_scatter"]

_CLOUD = "rgba(128,128,128,0.5)"
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")  # one for each round through the colours
_HUES = COLOURS[:-1]  # the last one is the grey of the cloud
_SIZES = (22, 17, 13, 9)  # of two methods with one choice the first looks out from behind the second
_PER_LINE = 3  # names in a line of the legend, on a narrow page


def candidate_scatter(
    candidates: Sequence[tuple[str, float, float]],
    methods: Mapping[str, Sequence[tuple[float, float]]],
    *,
    full: float,
    key: str,
    heading: str,
) -> dict[str, Any]:
    """The candidates as a grey cloud, what the methods chose in colour, the full model's loss as a line.

    Args:
        candidates: kept blocks in words, loss right after the cut, loss after fine-tuning.
        methods: for each method the two losses of every distinct choice it made.
        full: the full model's loss.
    """
    hover = "<br>cut %{x:.4f}, fine-tuned %{y:.4f}<extra></extra>"
    cloud = go.Scatter(
        x=[before for _, before, _ in candidates],
        y=[after for _, _, after in candidates],
        text=[name for name, _, _ in candidates],
        name=f"{len(candidates):,} candidates",
        mode="markers",
        marker={"size": 5, "color": _CLOUD},
        hovertemplate="keep %{text}" + hover,
    )
    traces = [cloud, *(_chosen(i, name, points, hover) for i, (name, points) in enumerate(methods.items()))]
    lines = -(-len(traces) // _PER_LINE)
    afters = [full, *(after for _, _, after in candidates), *(y for points in methods.values() for _, y in points)]
    befores = [*(before for _, before, _ in candidates), *(x for points in methods.values() for x, _ in points)]
    return figure(
        traces,
        key=key,
        height=420 + 20 * lines,
        heading=heading,
        margin={"l": 56, "r": 18, "t": 52 + 20 * lines, "b": 44},
        **(_level(full) if 0 < full < math.inf else {}),
        xaxis=log_axis("loss right after the cut (log scale)", befores),
        yaxis=log_axis("fine-tuned (log scale)", afters, room=1.04),
    )


def _chosen(index: int, name: str, points: Sequence[tuple[float, float]], hover: str) -> Any:
    """The choices of one method, in a colour and a symbol of its own."""
    style = {"color": _HUES[index % len(_HUES)], "symbol": _SYMBOLS[index // len(_HUES) % len(_SYMBOLS)]}
    return go.Scatter(
        x=[before for before, _ in points],
        y=[after for _, after in points],
        name=name,
        mode="markers",
        marker={"size": _SIZES[index % len(_SIZES)], "line": {"width": 1, "color": "white"}, **style},
        hovertemplate="%{fullData.name}" + hover,
    )


def _level(full: float) -> dict[str, Any]:
    """A dotted line across at the full model's loss."""
    ends = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": full, "y1": full}
    words: dict[str, Any] = {"text": f"full model ({full:.4f})", "showarrow": False, "yanchor": "bottom"}
    place = {"xref": "paper", "x": 1, "xanchor": "right", "y": math.log10(full)}  # of a log axis the exponent
    return {"shapes": [{**ends, "line": {"dash": "dot", "color": "#888"}}], "annotations": [{**words, **place}]}
