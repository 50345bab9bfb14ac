"""A study as pictures: losses before and after fine-tuning, their distribution, and where methods lie among them."""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.style import COLOURS, LINE_COLOURS, REFERENCE, SYMBOLS, axis, figure, level_line, log_axis

__all__ = ["candidate_scatter", "loss_distribution"]

_CLOUD, _GROUND = "rgba(128,128,128,0.5)", "rgba(128,128,128,0.35)"  # of dots, of a histogram
_CHOSEN = COLOURS[:-1]  # the last one is the grey of the cloud
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
    afters = [full, *(after for _, _, after in candidates), *(y for points in methods.values() for _, y in points)]
    befores = [*(before for _, before, _ in candidates), *(x for points in methods.values() for x, _ in points)]
    return figure(
        traces,
        key=key,
        height=420,
        heading=heading,
        legend_lines=-(-len(traces) // _PER_LINE),
        **(_level(full) if 0 < full < math.inf else {}),
        xaxis=log_axis("loss right after the cut (log scale)", befores),
        yaxis=log_axis("fine-tuned (log scale)", afters, room=1.04),
    )


def _chosen(index: int, name: str, points: Sequence[tuple[float, float]], hover: str) -> Any:
    """The choices of one method, in a colour and a symbol of its own."""
    style = {"color": _CHOSEN[index % len(_CHOSEN)], "symbol": SYMBOLS[index // len(_CHOSEN) % len(SYMBOLS)]}
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
    words: dict[str, Any] = {"text": f"full model ({full:.4f})", "showarrow": False, "yanchor": "bottom"}
    place = {"xref": "paper", "x": 1, "xanchor": "right", "y": math.log10(full)}  # of a log axis the exponent
    return {"shapes": [level_line("y", full)], "annotations": [{**words, **place}]}


_DASHES = ("solid", "dash", "dot")  # one for each round through the colours
_NAMED = 3  # methods of one choice that the legend names


def loss_distribution(
    losses: Sequence[float],
    methods: Mapping[str, Sequence[float]],
    *,
    key: str,
    heading: str,
    full: float | None = None,
    unit: str = "loss right after the cut (log scale)",
    bins: int = 40,
) -> dict[str, Any]:
    """A histogram of the candidates' losses on a log scale, with a line at every choice of every method.

    Args:
        losses: of all candidates; those that a log scale cannot show are left out.
        methods: for each method the losses of every distinct choice it made.
        full: the full model's loss, as a dotted line.
        bins: number of bins, equally wide on the log scale.
    """
    shown = sorted(loss for loss in losses if 0 < loss < math.inf)
    lines = _by_losses(methods)
    top = max(1, *_counts(shown, bins)[1]) if shown else 1
    traces = [_histogram(shown, bins)] if shown else []
    traces += [_line(i, name, several, shown, top) for i, (name, several) in enumerate(lines.items())]
    if full is not None and 0 < full < math.inf:
        traces.append(_vertical(f"full model ({full:.4f})", [full], top, REFERENCE, ""))
    values = [*shown, *(loss for several in lines.values() for loss in several), *([full] if full else [])]
    return figure(
        traces,
        key=key,
        height=330,
        heading=heading,
        legend_lines=len(traces),
        showlegend=True,
        xaxis=log_axis(unit, values),
        yaxis=axis("candidates", rangemode="tozero", range=[0, top * 1.06]),
    )


def _by_losses(methods: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Methods that made the same choices share a line and its entry in the legend."""
    together: dict[tuple[float, ...], list[str]] = {}
    for name, losses in methods.items():
        known = tuple(sorted({loss for loss in losses if 0 < loss < math.inf}))
        if known:
            together.setdefault(known, []).append(name)
    named = {}
    for losses, names in sorted(together.items()):
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        named[", ".join(names[:_NAMED]) + more] = list(losses)
    return named


def _counts(losses: Sequence[float], bins: int) -> tuple[list[float], list[int]]:
    """Edges, one more than bins, equally far apart on a log scale, and the number of losses between them."""
    low, high = math.log10(losses[0]), math.log10(losses[-1])
    width = (high - low) / bins or 1e-3
    edges = [10 ** (low + width * i) for i in range(bins + 1)]
    counts = [0] * bins
    for loss in losses:
        counts[min(bins - 1, max(0, bisect_right(edges, loss) - 1))] += 1
    return edges, counts


def _histogram(losses: Sequence[float], bins: int) -> Any:
    """Steps with a filled ground: bars would be of unequal width on a log axis."""
    edges, counts = _counts(losses, bins)
    words = [f"{n:,} candidates from {a:.4f} to {b:.4f}" for n, a, b in zip(counts, edges, edges[1:], strict=False)]
    return go.Scatter(
        x=[edges[0], *edges],
        y=[0, *counts, 0],
        customdata=["", *words, ""],
        name=f"{len(losses):,} candidates",
        mode="lines",
        line={"shape": "hv", "width": 1, "color": "#888"},
        fill="tozeroy",
        fillcolor=_GROUND,
        hovertemplate="%{customdata}<extra></extra>",
    )


def _line(index: int, name: str, losses: Sequence[float], everything: Sequence[float], top: float) -> Any:
    """The choices of one method, each as a line from the ground to the top."""
    style = {
        "color": LINE_COLOURS[index % len(LINE_COLOURS)],
        "dash": _DASHES[index // len(LINE_COLOURS) % len(_DASHES)],
        "width": 2.5,
    }
    span = f"{losses[0]:.4f}" if len(losses) == 1 else f"{losses[0]:.4f} to {losses[-1]:.4f}"
    share = bisect_right(everything, losses[0]) / len(everything) if everything else None
    among = f"<br>{share:.1%} of the candidates are as good or better" if share is not None else ""
    return _vertical(f"{name} ({span})", losses, top, style, among)


def _vertical(name: str, losses: Sequence[float], top: float, style: Mapping[str, Any], words: str) -> Any:
    x: list[float | None] = []
    y: list[float | None] = []
    for loss in losses:
        gap: list[None] = [None] if x else []
        x += [*gap, loss, loss]
        y += [*gap, 0, top * 1.03]
    return go.Scatter(
        x=x, y=y, name=name, mode="lines", line=dict(style), hovertemplate=f"%{{fullData.name}}{words}<extra></extra>"
    )
