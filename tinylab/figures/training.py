"""Curves over steps: of one run, or of two in one picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.style import COLOURS, REFERENCE, axis, figure, log_axis

__all__ = ["Points", "curves", "curves_of_two", "smooth"]

Points = Sequence[tuple[int, float]]  # (step, value), in order

_RUNS = (COLOURS[0], COLOURS[2])  # of two runs, where there is a single line of each
_DASHES = ("solid", "5px,3px")
_FEW = 40  # points that are still marked one by one
_MOST_TICKS = 9


def smooth(values: Sequence[float], weight: float = 0.8) -> list[float]:
    """Debiased exponential smoothing: the line a person follows through noisy training losses."""
    state, total, out = 0.0, 0.0, []
    for value in values:
        state, total = weight * state + (1 - weight) * value, weight * total + (1 - weight)
        out.append(state / total)
    return out


def curves(
    lines: Mapping[str, Points],
    *,
    key: str,
    heading: str,
    unit: str,
    log: bool = False,
    total_steps: int = 0,
    height: int = 300,
    levels: Mapping[str, float] | None = None,
    smoothed: bool = True,
    legend: bool = True,
    **yaxis: Any,
) -> dict[str, Any]:
    """One line for each named list of (step, value), thick and smoothed over thin and raw.

    Args:
        log: a log scale; what is not above zero is not shown then.
        levels: named horizontal lines to compare with, such as the full model's loss.
        smoothed: if not, the thick line goes through the values as they are.
        legend: whether lines are named; a line alone and unsmoothed never is.
        yaxis: more of a linear y axis.
    """
    traces = _of_one(lines, smoothed)
    ends = [points[-1][0] for points in lines.values() if points]
    for name, level in (levels or {}).items():
        traces.append(_line(f"{name} ({level:.4f})", [0, max([total_steps, *ends])], [level, level], REFERENCE))
    scale = _scale(traces, unit, log, yaxis)
    return _over_steps(traces, scale, total_steps, legend=legend, key=key, height=height, heading=heading)


def curves_of_two(
    runs: Mapping[str, Mapping[str, Points]],
    *,
    key: str,
    heading: str,
    unit: str,
    log: bool = False,
    total_steps: int = 0,
    height: int = 300,
    smoothed: bool = True,
    **yaxis: Any,
) -> dict[str, Any]:
    """The lines of two runs, by what the runs are called; the second run's are dashed. See `curves` for the rest.

    Where there are several lines, colours tell the lines; where there is one of each run, they tell the runs.
    """
    names = list(dict.fromkeys(name for lines in runs.values() for name in lines))
    traces = _of_each(runs, names, smoothed) if len(names) > 1 else _one_of_each(runs, smoothed)
    scale = _scale(traces, unit, log, yaxis)
    return _over_steps(traces, scale, total_steps, key=key, height=height, heading=heading)


def _of_one(lines: Mapping[str, Points], smoothed: bool) -> list[Any]:
    """Several lines have one entry each in the legend; a line alone has one for what was measured, too."""
    traces: list[Any] = []
    several = len(lines) > 1
    for colour, (name, points) in zip(COLOURS, lines.items(), strict=False):
        steps, values = _columns(points)
        thick, thin = {"color": colour, "width": 2.5}, {"color": colour, "width": 1}
        if not smoothed:
            traces.append(_line(name, steps, values, thick, mode=_mode(points)))
        elif several:
            hidden: dict[str, Any] = {"legendgroup": name, "showlegend": False, "opacity": 0.4}
            traces.append(_line(f"{name}, as measured", steps, values, thin, **hidden))
            traces.append(_line(name, steps, smooth(values), thick, legendgroup=name))
        else:
            traces.append(_line(f"{name}, as measured", steps, values, thin, opacity=0.6))
            traces.append(_line(f"{name}, smoothed", steps, smooth(values), thick))
    return traces


def _of_each(runs: Mapping[str, Mapping[str, Points]], names: Sequence[str], smoothed: bool) -> list[Any]:
    """Every line of every run, and an entry in the legend for what the dashes mean."""
    traces: list[Any] = []
    for colour, name in zip(COLOURS, names, strict=False):
        having = [run for run, lines in runs.items() if name in lines]
        for (run, lines), dash in zip(runs.items(), _DASHES, strict=True):
            if run in having:
                steps, values = _columns(lines[name])
                line = {"color": colour, "width": 2.5, "dash": dash}
                entry: dict[str, Any] = {"legendgroup": name, "showlegend": run == having[0]}
                shown = smooth(values) if smoothed else values
                traces.append(_line(name, steps, shown, line, words=f"{name}, {run}", **entry))
    for run, dash in zip(runs, _DASHES, strict=True):
        traces.append(_line(run, [None], [None], {"color": "#888", "width": 2.5, "dash": dash}))
    return traces


def _one_of_each(runs: Mapping[str, Mapping[str, Points]], smoothed: bool) -> list[Any]:
    traces: list[Any] = []
    for (run, lines), colour, dash in zip(runs.items(), _RUNS, _DASHES, strict=True):
        for points in lines.values():
            steps, values = _columns(points)
            line = {"color": colour, "width": 2.5, "dash": dash}
            mode = "lines" if smoothed else _mode(points)
            traces.append(_line(run, steps, smooth(values) if smoothed else values, line, mode=mode))
    return traces


def _over_steps(
    traces: list[Any], yaxis: dict[str, Any], total_steps: int, *, legend: bool = True, **more: Any
) -> dict[str, Any]:
    """A figure with a legend if there are several names."""
    named = legend and len([trace for trace in traces if trace.showlegend is not False]) > 1
    if not named:  # the heading stands alone above the plot
        more["margin"] = {"t": 44}
    steps = axis("step", range=[0, total_steps] if total_steps else None)
    return figure(traces, xaxis=steps, yaxis=yaxis, showlegend=named, legend={"tracegroupgap": 0}, **more)


def _scale(traces: list[Any], unit: str, log: bool, more: Mapping[str, Any]) -> dict[str, Any]:
    values = [value for trace in traces for value in trace.y if value is not None]
    return _log(unit, values) if log else axis(unit, **{"range": _room(values), **more})


def _columns(points: Points) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]


def _mode(points: Points) -> str:
    return "lines+markers" if len(points) <= _FEW else "lines"


def _log(unit: str, values: Sequence[float]) -> dict[str, Any]:
    """A log axis; over many orders of magnitude only powers of ten are labelled."""
    found = log_axis(f"{unit} (log)", values)
    if len(found["tickvals"]) > _MOST_TICKS:
        tens = [(value, text) for value, text in zip(found["tickvals"], found["ticktext"], strict=True) if _ten(value)]
        found |= {"tickvals": [value for value, _ in tens], "ticktext": [text for _, text in tens]}
    return found


def _ten(value: float) -> bool:
    return f"{value:e}".startswith("1.000000e")


def _room(values: Sequence[float]) -> list[float] | None:
    """A range around values that are all but equal, such as a first one, which the page cannot find by itself."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    size = max(abs(low), abs(high))
    if not values or high - low > 1e-6 * size:
        return None
    return [low - 0.1 * (size or 1), high + 0.1 * (size or 1)]


def _line(
    name: str, x: list[Any], y: list[Any], line: dict[str, Any], *, words: str = "", mode: str = "lines", **more: Any
) -> go.Scatter:
    template = f"{words or name}<br>%{{y:.4g}} at step %{{x:,}}<extra></extra>"
    return go.Scatter(x=x, y=y, name=name, mode=mode, line=line, hovertemplate=template, **more)
