"""A mask search as pictures: layers against steps, and the probability of each block step by step, to be played."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.figures.style import ACCENT, COLOURS, axis, block_axis, figure

__all__ = ["KEEP_SCALE", "keep_heatmap", "mask_animation"]

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
        margin={"t": 48},
        xaxis=axis("step", range=[0, total_steps] if total_steps else None, showgrid=False),
        yaxis=block_axis(names, autorange="reversed"),
    )


_MOST = 60  # frames; of more steps, every n-th, and always the last
_PACE = 90  # milliseconds a frame


def mask_animation(
    steps: Sequence[int],
    keep: Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    key: str,
    kept: Sequence[str] = (),
    height: int = 420,
) -> dict[str, Any]:
    """A bar a block for its probability to stay, with a slider over the steps and a button that plays them.

    The picture that stands still is the last step's. The figure has `frames` beside `data` and `layout`.

    Args:
        steps: logged steps, (S,).
        keep: probability per logged step and block, (S, depth).
        names: what the blocks are called, from the first to the last.
        kept: the blocks that were chosen in the end, in the accent colour.
    """
    chosen = _thinned(len(steps))
    colours = [ACCENT if name in kept else COLOURS[1] for name in names]
    last = list(keep[-1]) if keep else []
    trace = go.Bar(
        x=list(names),
        y=last,
        marker={"color": colours, "line": {"width": 0}},
        hovertemplate="block %{x} stays with probability %{y:.1%}<extra></extra>",
    )
    found = figure(
        [trace],
        key=key,
        height=height,
        heading="The film of the search",
        margin={"t": 52, "b": 150},
        bargap=0.25,
        xaxis=block_axis(names),
        yaxis=axis("stays with probability", range=[0, 1.02], tickformat=".0%"),
        **(_controls([steps[i] for i in chosen]) if len(chosen) > 1 else {}),
    )
    frames = [{"name": str(steps[i]), "data": [{"y": list(keep[i])}], "traces": [0]} for i in chosen]
    return {**found, "frames": frames}


def _thinned(count: int) -> list[int]:
    every = max(1, -(-count // _MOST))
    return sorted({*range(0, count, every), *([count - 1] if count else [])})


def _controls(steps: Sequence[int]) -> dict[str, Any]:
    """The button and the slider below the picture."""
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": False}, "transition": {"duration": 0}}
    playing = {"fromcurrent": False, "frame": {"duration": _PACE, "redraw": False}, "transition": {"duration": 0}}
    play = {"label": "▶ Play", "method": "animate", "args": [None, playing]}
    pause = {"label": "❚❚", "method": "animate", "args": [[None], at_once]}
    buttons = {"type": "buttons", "direction": "left", "showactive": False, "buttons": [play, pause]}
    slides = [{"label": f"{step:,}", "method": "animate", "args": [[str(step)], at_once]} for step in steps]
    shown = {"prefix": "step ", "xanchor": "right", "font": {"size": 13, "color": "#555"}, "offset": 4}
    slider = {
        "steps": slides,
        "active": len(slides) - 1,
        "currentvalue": shown,
        "font": {"color": "rgba(0,0,0,0)"},  # the step is told above; sixty labels cannot be read
        **{"ticklen": 0, "minorticklen": 0, "x": 0, "len": 1, "y": -0.2, "pad": {"t": 0, "b": 0}},
    }
    place = {"x": 0, "xanchor": "left", "y": -0.2, "yanchor": "top", "pad": {"t": 60}}
    return {"updatemenus": [{**buttons, **place}], "sliders": [slider]}
