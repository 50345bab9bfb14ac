"""The picture of a mask search: layers against steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.style import axis, figure

__all__ = ["KEEP_SCALE", "keep_heatmap"]

KEEP_SCALE = "Cividis"  # read alike by all eyes: from 0, will go, to 1, will stay


def keep_heatmap(
    steps: Sequence[int],
    keep: Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    key: str,
    total_steps: int = 0,
    height: int = 420,
) -> dict[str, Any]:
    """Keep probability of every block over the search.

    Args:
        steps: logged steps, (S,).
        keep: probability per logged step and block, (S, depth).
        names: what the blocks are called, from the first to the last.
        total_steps: where the search will end, so that the picture fills from left to right.
    """
    rows = [[column[block] for column in keep] for block in range(len(names))] if keep else []
    trace = go.Heatmap(
        x=list(steps),
        y=list(names),
        z=rows,
        zmin=0,
        zmax=1,
        colorscale=KEEP_SCALE,
        colorbar={"tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1], "thickness": 12, "outlinewidth": 0},
        hovertemplate="block %{y}, step %{x}<br>stays with probability %{z:.1%}<extra></extra>",
    )
    return figure(
        [trace],
        key=key,
        height=height,
        heading="How likely each block is to stay",
        margin={"l": 56, "r": 18, "t": 48, "b": 44},
        xaxis=axis("step", range=[0, total_steps] if total_steps else None, showgrid=False),
        yaxis=axis(
            "block", autorange="reversed", type="category", dtick=1 if len(names) <= 16 else None, showgrid=False
        ),
    )
