"""Massive activations as pictures: how large the values behind every block are, and how many lie far out.

Blocks of a cut model stand where they stood before the cut, so that models can be compared block by block.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tinylab.errors import BadRequest
from tinylab.figures.style import LINE_COLOURS, REFERENCE, SYMBOLS, axis, block_axis, figure, log_axis
from tinylab.metrics.layer_activations import EDGES, Activations, LayerActivations
from tinylab.pruning.plan import block_names

__all__ = ["activation_heatmap", "far_shares", "largest_activations"]

_PER_LINE, _LONG = 2, 14  # names in a line of the legend, on a narrow page; longer names take one each
_LEAST = -6  # exponent of the smallest share that has a colour of its own
_BINS = [*(f"{low:g}–{high:g}" for low, high in zip(EDGES[:-2], EDGES[1:-1], strict=True)), f"≥ {EDGES[-2]:g}"]


def largest_activations(models: Mapping[str, Activations], *, key: str, heading: str) -> dict[str, Any]:
    """The largest |h| behind every block, one line a model.

    Args:
        models: what was measured of each, by the name that the legend shows, such as teacher, after the cut, recovered.
    """
    names = _names(models.values())
    traces = _lines(models, names, lambda layer: layer.largest)
    values = [layer.largest for stacks in models.values() for layers in stacks.values() for layer in layers]
    return _over_blocks(traces, names, key, heading, log_axis("largest |h| (log scale)", values))


def far_shares(models: Mapping[str, Activations], *, key: str, heading: str, sigma: float = 2.0) -> dict[str, Any]:
    """The share of values that lie `sigma` deviations and more from the mean of their sample, one line a model; dotted
    what a Gaussian has.

    Raises:
        BadRequest: this was not measured of every layer.
    """
    names = _names(models.values())
    traces = _lines(models, names, lambda layer: _beyond(layer, sigma))
    normal = math.erfc(sigma / math.sqrt(2))
    ends = [name for several in names.values() for name in several]
    traces.append(
        go.Scatter(
            x=[*ends[:1], *ends[-1:]],
            y=[normal] * 2,
            name="Gaussian",
            mode="lines",
            line=REFERENCE,
            hovertemplate=f"Gaussian: {_percent(normal)} beyond {sigma:g}σ<extra></extra>",
        )
    )
    return _over_blocks(traces, names, key, heading, axis(f"beyond {sigma:g}σ", tickformat=".2~%", rangemode="tozero"))


def activation_heatmap(activations: Activations, *, key: str, heading: str) -> dict[str, Any]:
    """How far the values behind every block of one model lie from the mean of their sample: the bulk and the outliers.

    The colour is the share of a block's values, on a log scale; where there are none the picture is empty.
    """
    names = _names([activations])
    layers = [(names[stack][layer.place], layer) for stack, several in activations.items() for layer in several]
    shares = [layer.shares for _, layer in layers]
    rows = range(len(_BINS))
    trace = go.Heatmap(
        x=[name for name, _ in layers],
        y=_BINS,
        z=[[math.log10(column[row]) if column[row] else None for column in shares] for row in rows],
        customdata=[
            [f"{layer.counts[row]:,} values, {_percent(layer.shares[row])}" for _, layer in layers] for row in rows
        ],
        zmin=_LEAST,
        zmax=0,
        colorscale="Cividis",
        colorbar={
            "tickvals": list(range(_LEAST, 1, 2)),
            "ticktext": [f"{100 * 10.0**exponent:g}%" for exponent in range(_LEAST, 1, 2)],
            "thickness": 12,
            "outlinewidth": 0,
        },
        hoverongaps=False,
        hovertemplate="block %{x}, %{y} σ<br>%{customdata}<extra></extra>",
    )
    return figure(
        [trace],
        key=key,
        height=420,
        heading=heading,
        margin={"t": 48},
        xaxis=_block_axis(names),
        yaxis=axis("|h − μ| / σ", type="category", dtick=1, showgrid=False),
    )


def _names(models: Any) -> dict[str, list[str]]:
    """What the blocks before any cut are called, per stack: as far as one of the models reaches."""
    depth: dict[str, int] = {}
    for stacks in models:
        for stack, layers in stacks.items():
            depth[stack] = max([depth.get(stack, 0), *(layer.place + 1 for layer in layers)])
    return block_names(depth)


def _lines(
    models: Mapping[str, Activations], names: Mapping[str, Sequence[str]], value: Callable[[LayerActivations], float]
) -> list[Any]:
    """One line a model, with a gap between its stacks."""
    traces = []
    for index, (model, stacks) in enumerate(models.items()):
        x: list[str | None] = []
        y: list[float | None] = []
        words: list[str | None] = []
        for stack, layers in stacks.items():
            gap = [None] if x else []
            x += [*gap, *(names[stack][layer.place] for layer in layers)]
            y += [*gap, *(value(layer) for layer in layers)]
            words += [*gap, *(_words(layer) for layer in layers)]
        colour = LINE_COLOURS[index % len(LINE_COLOURS)]
        style = {"color": colour, "size": 7, "symbol": SYMBOLS[index % len(SYMBOLS)]}
        traces.append(
            go.Scatter(
                x=x,
                y=y,
                name=model,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker=style,
                customdata=words,
                hovertemplate="%{fullData.name}, %{customdata}<extra></extra>",
            )
        )
    return traces


def _words(layer: LayerActivations) -> str:
    """What is known of a layer, for people who point at it."""
    now = "" if layer.origin == layer.name else f" (now {layer.name})"
    channel = f" in channel {layer.channels[0].channel}" if layer.channels else ""
    shares = ", ".join(f"{_percent(share)} beyond {k:g}σ" for k, share in layer.beyond.items())
    furthest = f"furthest {layer.furthest:.1f}σ from the mean"
    return f"block {layer.origin}{now}<br>largest {layer.largest:.4g}{channel}<br>{furthest}<br>{shares}"


def _beyond(layer: LayerActivations, sigma: float) -> float:
    if sigma not in layer.beyond:
        known = ", ".join(f"{k:g}" for k in layer.beyond) or "none"
        raise BadRequest(f"the share beyond {sigma:g}σ was not measured; choose one of {known}")
    return layer.beyond[sigma]


def _over_blocks(
    traces: list[Any], names: Mapping[str, Sequence[str]], key: str, heading: str, yaxis: dict[str, Any]
) -> dict[str, Any]:
    per_line = 1 if any(len(trace.name) > _LONG for trace in traces) else _PER_LINE
    return figure(
        traces,
        key=key,
        height=300,
        heading=heading,
        legend_lines=-(-len(traces) // per_line),
        showlegend=True,
        xaxis=_block_axis(names),
        yaxis=yaxis,
    )


def _block_axis(names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """All blocks, the stacks one behind the other, also those that none of the models has any more."""
    blocks = [name for several in names.values() for name in several]
    return block_axis(blocks, categoryorder="array", categoryarray=blocks, range=[-0.5, len(blocks) - 0.5])


def _percent(share: float, digits: int = 3) -> str:
    """With so many digits that say something, never as a power of ten."""
    value = 100 * share
    places = digits - 1 - math.floor(math.log10(value)) if value else 0
    return f"{value:.{max(0, places)}f}%"
