"""Pictures of choices: which blocks stay, how sure the search is, and what each choice is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.style import ACCENT, COLOURS, MUTED, axis, figure

__all__ = ["kept_strips", "loss_dumbbells", "option_bars"]

_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # where the axis of probabilities may end, so that it seldom moves
_LEADS = (  # leading digits of the numbers on a log axis, and how many of them make an axis readable
    ((1, 2, 5), 4),
    ((1, 1.5, 2, 3, 5, 7), 4),
    ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), 3),
    (tuple(n / 10 for n in range(10, 100)), 0),
)
_NARROW = {"l": 56, "r": 18, "t": 48, "b": 44}


def kept_strips(
    choices: Mapping[str, Sequence[str]], blocks: Sequence[str], *, key: str, heading: str
) -> dict[str, Any]:
    """One row a choice, one cell for each of `blocks`, filled if its name is in the choice."""
    names = list(choices)
    cells = [[1 if block in choices[name] else 0 for block in blocks] for name in names]
    words = [["stays" if cell else "goes" for cell in row] for row in cells]
    trace = go.Heatmap(
        x=list(blocks),
        y=names,
        z=cells,
        customdata=words,
        zmin=0,
        zmax=1,
        colorscale=[[0, MUTED], [1, ACCENT]],
        showscale=False,
        xgap=3,
        ygap=6,
        hovertemplate="%{y}: block %{x} %{customdata}<extra></extra>",
    )
    return figure(
        [trace],
        key=key,
        height=104 + 42 * len(names),
        heading=heading,
        margin=_NARROW,
        xaxis=axis("block", type="category", dtick=1 if len(blocks) <= 16 else None, showgrid=False),
        yaxis=_rows(names),
    )


def option_bars(
    groups: Sequence[tuple[Sequence[str], Sequence[float], Sequence[Sequence[int]]]], *, key: str, shown: int = 8
) -> dict[str, Any]:
    """The most probable options now, the chosen ones in the accent colour.

    Args:
        groups: for each group the names of its blocks, the probability of every option, and every option's 0/1 mask.
    """
    bars = []
    for blocks, probabilities, options in groups:
        best = max(probabilities)
        for p, option in zip(probabilities, options, strict=True):
            kept = " ".join(b for b, stays in zip(blocks, option, strict=True) if stays)
            bars.append((p, kept, ACCENT if p == best else COLOURS[1]))
    bars = sorted(bars, reverse=True)[:shown]
    most = bars[0][0] if bars else 1.0
    trace = go.Bar(
        x=[p for p, _, _ in bars],
        y=[name for _, name, _ in bars],
        orientation="h",
        marker={"color": [colour for _, _, colour in bars], "line": {"width": 0}},
        text=[f"{p:.1%}" for p, _, _ in bars],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="keep %{y}<br>probability %{x:.2%}<extra></extra>",
    )
    return figure(
        [trace],
        key=key,
        height=300,
        heading="The most probable choices",
        margin={**_NARROW, "r": 52},
        hovermode="y",
        xaxis=axis("probability", range=[0, next(end for end in _ENDS if end >= min(1.0, most))], tickformat=".1~%"),
        yaxis=axis("", autorange="reversed", type="category", showgrid=False),
    )


def loss_dumbbells(
    rows: Mapping[str, tuple[float, float | None]], *, full: float, key: str, heading: str
) -> dict[str, Any]:
    """Loss right after the cut and after fine-tuning, one row a method, with the full model's as a line."""
    names = list(rows)
    traces: list[Any] = []
    for name, (before, after) in rows.items():
        if after is not None:
            line = {"color": MUTED, "width": 4}
            traces.append(
                go.Scatter(x=[before, after], y=[name] * 2, mode="lines", line=line, hoverinfo="skip", showlegend=False)
            )
    for label, colour, position in (("right after the cut", COLOURS[2], 0), ("fine-tuned", ACCENT, 1)):
        points = [(values[position], name) for name, values in rows.items() if values[position] is not None]
        traces.append(
            go.Scatter(
                x=[x for x, _ in points],
                y=[name for _, name in points],
                name=label,
                mode="markers",
                marker={"size": 14, "color": colour},
                hovertemplate=f"%{{y}}, {label}<br>loss %{{x:.4f}}<extra></extra>",
            )
        )
    traces.append(
        go.Scatter(  # for the legend alone
            x=[None],
            y=names[:1],
            mode="lines",
            name=f"full model ({full:.4f})",
            line={"dash": "dot", "color": "#888"},
        )
    )
    values = [value for value in (full, *sum(rows.values(), ())) if value is not None and 0 < value < math.inf]
    low, high = min(values, default=0.1) / 1.12, max(values, default=1.0) * 1.12
    ticks = _log_ticks(low, high)
    return figure(
        traces,
        key=key,
        height=170 + 44 * len(names),
        heading=heading,
        shapes=[
            {
                "type": "line",
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "x0": full,
                "x1": full,
                "line": {"dash": "dot", "color": "#888"},
            }
        ],
        xaxis=axis(
            "held-out loss (log scale)",
            type="log",
            range=[math.log10(low), math.log10(high)],
            tickvals=ticks,
            ticktext=[f"{tick:g}" for tick in ticks],
        ),
        yaxis=_rows(names),
    )


def _rows(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names from top to bottom; what stands in brackets goes to a second line."""
    words = [name.replace(" (", "<br>(", 1) for name in names]
    return axis("", autorange="reversed", showgrid=False, type="category", tickvals=list(names), ticktext=words)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` to `high`, few enough to be read: the coarsest list that has enough of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for leads, enough in _LEADS:
        ticks = [round(lead * 10.0**decade, 12) for decade in decades for lead in leads]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= enough:
            break
    return ticks
