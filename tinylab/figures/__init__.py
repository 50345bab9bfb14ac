"""Plotly figures from run records: pure functions of plain numbers, for the app, reports and tests."""

from tinylab.figures.activations import activation_heatmap, far_shares, largest_activations
from tinylab.figures.choice import kept_strips, loss_dumbbells, option_bars
from tinylab.figures.search import keep_heatmap
from tinylab.figures.study import candidate_scatter
from tinylab.figures.training import curves, curves_of_two

__all__ = [
    "activation_heatmap",
    "candidate_scatter",
    "curves",
    "curves_of_two",
    "far_shares",
    "keep_heatmap",
    "kept_strips",
    "largest_activations",
    "loss_dumbbells",
    "option_bars",
]
