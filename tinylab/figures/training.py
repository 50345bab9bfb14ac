"""Curves over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.style import COLOURS, axis, figure

__all__ = ["curves", "smooth"]


def smooth(values: Sequence[float], weight: float = 0.8) -> list[float]:
    """Debiased exponential smoothing: the line a person follows through noisy training losses."""
    state, total, out = 0.0, 0.0, []
    for value in values:
        state, total = weight * state + (1 - weight) * value, weight * total + (1 - weight)
        out.append(state / total)
    return out


def curves(
    lines: Mapping[str, Sequence[tuple[int, float]]],
    *,
    key: str,
    heading: str,
    unit: str,
    log: bool = False,
    total_steps: int = 0,
    height: int = 300,
    levels: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """One line for each named list of (step, value), thick and smoothed over thin and raw.

    Args:
        levels: named horizontal lines to compare with, such as the full model's loss.
    """
    traces: list[Any] = []
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        steps, values = [p[0] for p in points], [p[1] for p in points]
        traces.append(_line(f"{name}, as measured", steps, values, {"color": colour, "width": 1}, opacity=0.6))
        traces.append(_line(f"{name}, smoothed", steps, smooth(values), {"color": colour, "width": 2.5}))
    last = max([total_steps, *(points[-1][0] for points in lines.values() if points)])
    for name, level in (levels or {}).items():
        traces.append(_line(f"{name} ({level:.4f})", [0, last], [level, level], {"color": "#888", "dash": "dot"}))
    return figure(
        traces,
        key=key,
        height=height,
        heading=heading,
        xaxis=axis("step", range=[0, total_steps] if total_steps else None),
        yaxis=axis(
            unit, type="log" if log else "linear", range=None if log else _room([v for t in traces for v in t.y])
        ),
    )


def _room(values: Sequence[float]) -> list[float] | None:
    """A range around values that are all but equal, such as a first one, which the page cannot find by itself."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    size = max(abs(low), abs(high))
    if not values or high - low > 1e-6 * size:
        return None
    return [low - 0.1 * (size or 1), high + 0.1 * (size or 1)]


def _line(name: str, x: list[int], y: list[float], line: dict[str, Any], opacity: float = 1.0) -> go.Scatter:
    template = f"{name}<br>%{{y:.4f}} at step %{{x}}<extra></extra>"
    return go.Scatter(x=x, y=y, name=name, mode="lines", line=line, opacity=opacity, hovertemplate=template)
