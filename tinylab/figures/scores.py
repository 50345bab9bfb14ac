"""Scores of samples as a picture: a bar for each model with its interval, and the floor."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.style import ACCENT, COLOURS, REFERENCE, axis, figure, level_line

__all__ = ["Score", "score_bars"]


@dataclass(frozen=True)
class Score:
    """A score, and the ends of its interval where one is known."""

    value: float
    low: float | None = None
    high: float | None = None


def score_bars(
    scores: Mapping[str, Score],
    *,
    key: str,
    heading: str,
    unit: str,
    floor: Score | None = None,
    better: str | None = None,
    percent: bool = False,
) -> dict[str, Any]:
    """One bar a model, the best in the accent colour, with the interval; dotted what real data scores itself.

    Args:
        scores: by what the models are called.
        floor: of one half of the real data against the other: nothing that is drawn can be expected beyond it.
        better: lower or higher; None where there is no best.
        percent: whether values are shares, to be shown as percentages.
    """
    names, found = list(scores), list(scores.values())
    best = _best(found, better)
    form = ".1%" if percent else ".4g"
    trace = go.Bar(
        x=[score.value for score in found],
        y=names,
        orientation="h",
        marker={"color": [ACCENT if score.value == best else COLOURS[1] for score in found], "line": {"width": 0}},
        error_x=_intervals(found),
        customdata=[_words(score, form) for score in found],
        hovertemplate="%{y}<br>%{customdata}<extra></extra>",
        showlegend=False,
    )
    traces: list[Any] = [trace]
    if floor is not None:
        words = f"real against real ({floor.value:{form}})"  # for the legend: the line itself goes through all rows
        traces.append(go.Scatter(x=[None], y=names[:1], name=words, mode="lines", line={**REFERENCE, "width": 2}))
    ends = [end for score in [*found, *([floor] if floor else [])] for end in (score.value, score.high, score.low)]
    low, high = _range([end for end in ends if end is not None and math.isfinite(end)])
    return figure(
        traces,
        key=key,
        height=150 + 44 * len(names),
        heading=heading,
        bargap=0.4,
        hovermode="y",
        showlegend=floor is not None,
        shapes=[level_line("x", floor.value, width=2)] if floor else [],
        xaxis=axis(unit, range=[low, high], tickformat=".0%" if percent else None),
        yaxis=axis("", autorange="reversed", type="category", showgrid=False, tickvals=names, ticktext=_lines(names)),
    )


def _best(scores: Sequence[Score], better: str | None) -> float | None:
    values = [score.value for score in scores if math.isfinite(score.value)]
    if better is None or len(values) < 2:
        return None
    return min(values) if better == "lower" else max(values)


def _intervals(scores: Sequence[Score]) -> dict[str, Any] | None:
    if all(score.low is None and score.high is None for score in scores):
        return None
    up = [0.0 if score.high is None else score.high - score.value for score in scores]
    down = [0.0 if score.low is None else score.value - score.low for score in scores]
    return {"type": "data", "array": up, "arrayminus": down, "symmetric": False, "color": "#888", "thickness": 1.5}


def _words(score: Score, form: str) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:{form}}"
    return f"{score.value:{form}} ({score.low:{form}} to {score.high:{form}})"


def _range(ends: Sequence[float]) -> tuple[float, float]:
    """From zero, which bars begin at, with a little room beyond the last end."""
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.06 * (high - low or 1.0)
    return (low - room if low < 0 else 0.0), high + room


def _lines(names: Sequence[str]) -> list[str]:
    """What stands in brackets, or behind a comma, goes to a second line."""
    return [name.replace(" (", "<br>(", 1) if " (" in name else name.replace(", ", ",<br>", 1) for name in names]
