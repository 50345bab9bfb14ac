"""A table as lines of text, for a terminal or Markdown."""

from __future__ import annotations

from tinylab.reports.table import Column, Error, Row, Table
from tinylab.reports.table_html import show

__all__ = ["text_lines"]


def text_lines(table: Table) -> list[list[str]]:
    """The head, then the rows, cell by cell; columns that hold nothing are left out."""
    filled = [i for i in range(len(table.columns)) if any(row.values[i] is not None for row in table.rows)]
    head = [_title(table.columns[i]) for i in filled]
    return [head, *([_cell(row, i, table.columns[i]) for i in filled] for row in table.rows)]


def _title(column: Column) -> str:
    return f"{column.label} ({column.unit})" if column.unit else column.label


def _cell(row: Row, index: int, column: Column) -> str:
    return show(row.values[index], column.format) + _error(row.error(index), column.format)


def _error(error: Error, form: str) -> str:
    """A standard error, or the ends of an interval; nothing where seeds did not differ."""
    if not error:
        return ""
    if isinstance(error, tuple):
        return "" if None in error else f" ({show(error[0], form)} to {show(error[1], form)})"
    return f" ± {show(error, form)}"
