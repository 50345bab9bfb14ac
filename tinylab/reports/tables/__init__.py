"""Where the tables of runs are made, from what they have stored; quick, and free of torch."""

from tinylab.reports.tables.comparison import comparison_table, recipes_table
from tinylab.reports.tables.cost import cost_table, equal_seconds_table, size_table
from tinylab.reports.tables.losses import blocks_table, candidates_table, losses_table, samples_table
from tinylab.reports.tables.scores import score_table

__all__ = [
    "blocks_table",
    "candidates_table",
    "comparison_table",
    "cost_table",
    "equal_seconds_table",
    "losses_table",
    "recipes_table",
    "samples_table",
    "score_table",
    "size_table",
]
