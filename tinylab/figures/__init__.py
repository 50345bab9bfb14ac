"""Plotly figures from run records: pure functions of plain numbers, for the app, reports and tests."""

from tinylab.figures.choice import kept_strips, loss_dumbbells, option_bars
from tinylab.figures.search import keep_heatmap
from tinylab.figures.study import candidate_scatter
from tinylab.figures.training import curves

__all__ = ["candidate_scatter", "curves", "keep_heatmap", "kept_strips", "loss_dumbbells", "option_bars"]
