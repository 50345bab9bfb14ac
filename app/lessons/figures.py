"""The figures of the lessons, by the plain functions that reports and tabs use where there are such."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from app.lessons.choices import Choice, ground_truth
from tinylab.figures.study import candidate_scatter
from tinylab.figures.style import ACCENT, COLOURS, axis, figure
from tinylab.reports.names import method_label

__all__ = ["block_bars", "candidates", "hidden_counts", "mask_curves", "pair_heatmap", "recipe_bars", "seeds"]

_MARGIN = {"l": 60, "r": 14, "t": 14, "b": 48}
_GREY = "rgba(128,128,128,0.55)"


def candidates(choices: Sequence[Choice], marked: dict[str, tuple[float, float]], full: float) -> dict[str, Any]:
    """All candidates that were fine-tuned, what methods chose, and the two that are talked about."""
    cloud = [(" ".join(row.kept), before, after) for row, before, after in ground_truth().finetuned]
    learned_last = sorted(choices, key=lambda choice: "learned" in choice.methods)  # and so on top of all
    methods = {name: [point] for name, point in marked.items()}
    methods |= {_names(choice): [(choice.before, choice.after[0])] for choice in learned_last}
    drawn = candidate_scatter(cloud, methods, full=full, key="lesson-candidates", heading="")
    for trace in drawn["data"][1:]:
        told = trace["name"] in marked
        trace["marker"]["size"] = 17 if told else 11
        if told:
            trace |= {"mode": "markers+text", "text": [trace["name"]], "textposition": "top center"}
    drawn["layout"]["margin"] = {**_MARGIN, "t": drawn["layout"]["margin"]["t"] - 24}
    return drawn


def _names(choice: Choice) -> str:
    """What chose it, the others as a number."""
    more = len(choice.methods) - 1
    return method_label(choice.methods[0]) + (f" + {more}" if more else "")


def seeds(first: Choice, second: Choice, numbers: Sequence[int]) -> dict[str, Any]:
    """The losses of two choices after fine-tuning, seed by seed: a line for each."""
    traces = [
        go.Scatter(
            x=[str(seed) for seed in numbers],
            y=list(choice.after),
            name=choice.kept,
            mode="markers+lines",
            line={"color": colour, "dash": dash, "width": 2},
            marker={"size": 11, "color": colour, "symbol": symbol},
            hovertemplate="%{fullData.name}: %{y:.5f}<extra></extra>",
        )
        for choice, colour, dash, symbol in ((first, COLOURS[2], "dot", "square"), (second, ACCENT, "solid", "circle"))
    ]
    return figure(
        traces,
        key="lesson-seeds",
        height=300,
        heading="",
        margin={**_MARGIN, "l": 76, "t": 40},
        xaxis=axis("seed", type="category"),
        yaxis=axis("loss after fine-tuning", tickformat=".4f"),
    )


def block_bars(losses: Sequence[float], full: float) -> dict[str, Any]:
    """The loss without each block alone; the worst one in colour."""
    worst = losses.index(max(losses))
    colours = [COLOURS[2] if i == worst else _GREY for i in range(len(losses))]
    bars = go.Bar(
        x=[str(i) for i in range(len(losses))],
        y=list(losses),
        marker={"color": colours},
        text=[f"{loss:.2f}" for loss in losses],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x}: %{y:.4f}<extra></extra>",
    )
    level = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": full, "y1": full}
    return figure(
        [bars],
        key="lesson-single",
        height=300,
        heading="",
        margin={**_MARGIN, "t": 26},
        showlegend=False,
        shapes=[{**level, "line": {"dash": "dot", "color": "#888"}}],
        xaxis=axis("block", type="category"),
        yaxis=axis("loss", rangemode="tozero"),
    )


def pair_heatmap(ratios: Sequence[Sequence[float | None]]) -> dict[str, Any]:
    """The damage of two blocks together as a multiple of the sum of their damages; 1 has no colour."""
    names = [str(i) for i in range(len(ratios))]
    most = max(abs(value - 1) for row in ratios for value in row if value is not None)
    trace = go.Heatmap(
        x=names,
        y=names,
        z=[list(row) for row in ratios],
        zmid=1,
        zmin=1 - most,
        zmax=1 + most,
        colorscale=[[0, COLOURS[1]], [0.5, "rgba(128,128,128,0.08)"], [1, COLOURS[2]]],
        hoverongaps=False,
        hovertemplate="%{y} + %{x}: × %{z:.2f}<extra></extra>",
        colorbar={"thickness": 12, "outlinewidth": 0},
    )
    return figure(
        [trace],
        key="lesson-pairs",
        height=380,
        heading="",
        margin=_MARGIN,
        xaxis=axis("block", type="category", showgrid=False),
        yaxis=axis("block", type="category", showgrid=False, autorange="reversed"),
    )


def hidden_counts(counts: Sequence[int], width: float) -> dict[str, Any]:
    """How many hidden values lie how many deviations from the mean of their sample, on a log scale."""
    lows = [width * i for i in range(len(counts))]
    bars = go.Bar(
        x=[low + width / 2 for low in lows],
        y=[count or None for count in counts],
        width=width * 0.94,
        marker={"color": COLOURS[1]},
        hovertemplate="%{x:.2f} σ: %{y:,}<extra></extra>",
    )
    last = max(i for i, count in enumerate(counts) if count)
    return figure(
        [bars],
        key="lesson-hidden",
        height=270,
        heading="",
        margin=_MARGIN,
        showlegend=False,
        xaxis=axis("|h − μ| / σ", range=[0, width * (last + 2)]),
        yaxis=axis("values (log scale)", type="log", dtick=1, exponentformat="power"),
    )


def mask_curves(ks: Sequence[float], masked: Sequence[float], carried: Sequence[float]) -> dict[str, Any]:
    """The share of values beyond kσ, and their share of the squared difference."""
    traces = [
        go.Scatter(
            x=list(ks), y=list(values), name=name, mode="lines", line={"color": colour, "dash": dash, "width": 2.5}
        )
        for values, name, colour, dash in (
            (carried, "carried", COLOURS[2], "solid"),
            (masked, "masked", COLOURS[1], "dash"),
        )
    ]
    return figure(
        traces,
        key="lesson-mask",
        height=270,
        heading="",
        margin={**_MARGIN, "t": 40},
        xaxis=axis("k", range=[ks[0], ks[-1]]),
        yaxis=axis("share", tickformat=".0%", rangemode="tozero"),
    )


def recipe_bars(rows: Sequence[tuple[str, float, float]], full: float) -> dict[str, Any]:
    """Mean losses after recovery with standard errors, the best one on top."""
    best = min(range(len(rows)), key=lambda i: rows[i][1])
    dots = go.Scatter(
        x=[mean for _, mean, _ in rows],
        y=[name for name, _, _ in rows],
        error_x={"array": [error for _, _, error in rows], "thickness": 1.5},
        mode="markers",
        marker={
            "size": 12,
            "color": [ACCENT if i == best else COLOURS[1] for i in range(len(rows))],
            "symbol": ["diamond" if i == best else "circle" for i in range(len(rows))],
        },
        hovertemplate="%{y}: %{x:.5f}<extra></extra>",
    )
    level = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": full, "x1": full}
    return figure(
        [dots],
        key="lesson-recipes",
        height=90 + 34 * len(rows),
        heading="",
        margin={**_MARGIN, "l": 130},
        showlegend=False,
        shapes=[{**level, "line": {"dash": "dot", "color": "#888"}}],
        xaxis=axis("loss on held-out images", tickformat=".4f", nticks=5),
        yaxis=axis("", type="category", autorange="reversed"),
    )
