"""What depth costs and what less of it brings: speed against depth, parts of the time, scores at equal seconds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.scores import Score, score_bars
from tinylab.figures.style import COLOURS, LINE_COLOURS, REFERENCE, SYMBOLS, axis, figure

__all__ = ["SpeedPoint", "depth_against_speed", "equal_seconds", "time_shares"]

_CURVE = 60  # points of the line of the limit


@dataclass(frozen=True)
class SpeedPoint:
    """One measured model.

    Attributes:
        label: what it is called.
        depth: share of the blocks that it has, above 0 and at most 1.
        speedup: how many times as fast as the full model.
        expected: the speed-up that the measured shares of the time explain; None if not known.
    """

    label: str
    depth: float
    speedup: float
    expected: float | None = None


def depth_against_speed(groups: Mapping[str, Sequence[SpeedPoint]], *, key: str, heading: str) -> dict[str, Any]:
    """Speed-up over the share of the blocks that stay; dotted what it were if nothing but blocks took time.

    Args:
        groups: points that belong together, such as those of one batch size, by what the legend calls them.
    """
    points = [point for several in groups.values() for point in several]
    shares = [point.depth for point in points if 0 < point.depth <= 1]
    least = min([0.5, *shares])
    grid = [least + (1 - least) * i / (_CURVE - 1) for i in range(_CURVE)]
    limit = go.Scatter(
        x=grid,
        y=[1 / share for share in grid],
        name="limit: depth alone",
        mode="lines",
        line={**REFERENCE, "width": 2},
        hovertemplate="%{x:.0%} of the blocks: at most %{y:.2f} times<extra></extra>",
    )
    traces = [limit, *(trace for i, (name, several) in enumerate(groups.items()) for trace in _group(i, name, several))]
    top = max([1 / least, *(p.speedup for p in points), *(p.expected or 0 for p in points)])
    return figure(
        traces,
        key=key,
        height=360,
        heading=heading,
        legend_lines=len(traces),
        showlegend=True,
        xaxis=axis("blocks that stay", tickformat=".0%", range=[max(0.0, least - 0.06), 1.04]),
        yaxis=axis("speed-up", ticksuffix="×", range=[min([0.9, *(p.speedup * 0.9 for p in points)]), top * 1.08]),
    )


def _group(index: int, name: str, points: Sequence[SpeedPoint]) -> list[Any]:
    """What was measured, filled, and what the shares of time explain, hollow."""
    colour, symbol = LINE_COLOURS[index % len(LINE_COLOURS)], SYMBOLS[index % len(SYMBOLS)]
    measured = _dots(name, points, [point.speedup for point in points], "measured", color=colour, symbol=symbol)
    known = [point for point in points if point.expected is not None and math.isfinite(point.expected)]
    if not known:
        return [measured]
    hollow = {"color": colour, "symbol": f"{symbol}-open", "line": {"width": 2}}
    words = "expected"
    return [_dots(f"{name}, {words}", known, [p.expected or 0.0 for p in known], words, **hollow), measured]


def _dots(name: str, points: Sequence[SpeedPoint], heights: Sequence[float], words: str, **marker: Any) -> Any:
    return go.Scatter(
        x=[point.depth for point in points],
        y=list(heights),
        text=[point.label for point in points],
        name=name,
        mode="markers",
        marker={"size": 12, **marker},
        hovertemplate=f"%{{text}}<br>%{{x:.0%}} of the blocks, %{{y:.2f}} times as fast, {words}<extra></extra>",
    )


def time_shares(shares: Mapping[str, float], *, key: str, heading: str) -> dict[str, Any]:
    """One bar of the parts that the time of a step goes to."""
    traces = [
        go.Bar(
            x=[share],
            y=[""],
            name=f"{name} {share:.1%}",
            orientation="h",
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"{name}: {share:.2%} of the time<extra></extra>",
        )
        for (name, share), colour in zip(shares.items(), (*LINE_COLOURS, COLOURS[-1]), strict=False)
    ]
    return figure(
        traces,
        key=key,
        height=190,
        heading=heading,
        barmode="stack",
        margin={"l": 18, "r": 18, "t": 86, "b": 44},
        showlegend=True,
        legend={"traceorder": "normal"},
        hovermode="closest",
        xaxis=axis("share of the time of a step", tickformat=".0%", range=[0, max(1.0, sum(shares.values()))]),
        yaxis=axis("", showticklabels=False, showgrid=False),
    )


def equal_seconds(
    rows: Mapping[str, tuple[int, Score]],
    *,
    key: str,
    heading: str,
    unit: str,
    better: str | None = None,
    percent: bool = False,
) -> dict[str, Any]:
    """Scores of rivals that were given the same seconds an image, each with the steps that it affords.

    Args:
        rows: steps and score by what the rivals are called.
    """
    scores = {f"{name}, {steps:,} steps": score for name, (steps, score) in rows.items()}
    return score_bars(scores, key=key, heading=heading, unit=unit, better=better, percent=percent)
