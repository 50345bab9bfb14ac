"""Pictures of choices: which blocks stay, how sure the search is, and what each choice is worth."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.style import ACCENT, COLOURS, MUTED, REFERENCE, axis, block_axis, figure, level_line, log_axis

__all__ = ["kept_strips", "loss_dumbbells", "option_bars"]

_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # where the axis of probabilities may end, so that it seldom moves


def kept_strips(
    choices: Mapping[str, Sequence[str] | Mapping[str, float]], blocks: Sequence[str], *, key: str, heading: str
) -> dict[str, Any]:
    """One row a choice, one cell for each of `blocks`, filled if its name is in the choice.

    A choice that differs from seed to seed gives every block the share of the seeds that keep it; the cell is filled
    to that share.
    """
    names = list(choices)
    cells = [[_share(choices[name], block) for block in blocks] for name in names]
    words = [[_stays(cell) for cell in row] for row in cells]
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
        margin={"t": 48},
        xaxis=block_axis(blocks),
        yaxis=_rows(names),
    )


def _share(choice: Sequence[str] | Mapping[str, float], block: str) -> float:
    return choice.get(block, 0.0) if isinstance(choice, Mapping) else float(block in choice)


def _stays(share: float) -> str:
    return {0.0: "goes", 1.0: "stays"}.get(share, f"stays for {share:.0%} of the seeds")


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
        margin={"t": 48, "r": 52},
        hovermode="y",
        xaxis=axis("probability", range=[0, next(end for end in _ENDS if end >= min(1.0, most))], tickformat=".1~%"),
        yaxis=axis("", autorange="reversed", type="category", showgrid=False),
    )


def loss_dumbbells(
    rows: Mapping[str, tuple[float, float | None]],
    *,
    full: float,
    key: str,
    heading: str,
    errors: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> dict[str, Any]:
    """Loss right after the cut and after fine-tuning, one row a method, with the full model's as a line.

    Args:
        errors: standard errors of the two losses of a method, drawn as bars where there are any.
    """
    names, errors = list(rows), errors or {}
    line = {"color": MUTED, "width": 4}
    traces: list[Any] = [
        go.Scatter(x=[before, after], y=[name] * 2, mode="lines", line=line, hoverinfo="skip", showlegend=False)
        for name, (before, after) in rows.items()
        if after is not None
    ]
    for place, label, colour in ((0, "right after the cut", COLOURS[2]), (1, "fine-tuned", ACCENT)):
        points = [(name, values[place], errors.get(name, (None, None))[place]) for name, values in rows.items()]
        traces.append(_points([point for point in points if point[1] is not None], label, colour))
    level = f"full model ({full:.4f})"  # for the legend alone
    traces.append(go.Scatter(x=[None], y=names[:1], mode="lines", name=level, line=REFERENCE))
    return figure(
        traces,
        key=key,
        height=170 + 44 * len(names),
        heading=heading,
        shapes=[level_line("x", full)],
        xaxis=log_axis("held-out loss (log scale)", [full, *_ends(rows, errors)]),
        yaxis=_rows(names),
    )


def _ends(
    rows: Mapping[str, tuple[float, float | None]], errors: Mapping[str, tuple[float | None, float | None]]
) -> Iterator[float]:
    """Every loss, less and plus its standard error."""
    for name, losses in rows.items():
        for loss, error in zip(losses, errors.get(name, (None, None)), strict=True):
            if loss is not None:
                yield from (loss - (error or 0.0), loss + (error or 0.0))


def _points(points: Sequence[tuple[str, float | None, float | None]], label: str, colour: str) -> Any:
    """Dots of one colour at (method, loss, standard error), with bars if there are errors."""
    bars = [error or 0.0 for _, _, error in points]
    wide = any(bars)
    words = [f" ± {bar:.5f}" if bar else "" for bar in bars]
    return go.Scatter(
        x=[loss for _, loss, _ in points],
        y=[name for name, _, _ in points],
        name=label,
        mode="markers",
        marker={"size": 14, "color": colour},
        error_x={"type": "data", "array": bars, "color": colour, "thickness": 2, "width": 5} if wide else None,
        customdata=words if wide else None,
        hovertemplate=f"%{{y}}, {label}<br>loss %{{x:.4f}}{'%{customdata}' if wide else ''}<extra></extra>",
    )


def _rows(names: Sequence[str]) -> dict[str, Any]:
    """An axis of names from top to bottom; what stands in brackets goes to a second line."""
    words = [name.replace(" (", "<br>(", 1) for name in names]
    return axis("", autorange="reversed", showgrid=False, type="category", tickvals=list(names), ticktext=words)
