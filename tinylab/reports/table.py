"""A table of numbers that stay numbers, and its forms for programs: CSV, JSON. `table_render` has those for people."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tinylab.errors import BadRequest

__all__ = ["Column", "Error", "Row", "Table", "Value", "csv_cells", "stacked_csv"]

Value = str | int | float | bool | None
Error = float | tuple[float | None, float | None] | None  # a standard error, or the ends of an interval


@dataclass(frozen=True)
class Column:
    """What stands below each other.

    Attributes:
        name: for programs, the same in CSV and JSON.
        label: for people.
        unit: of the numbers; part of the label that people see.
        format: a format specification for numbers, such as ".4f", or "bytes" or "big" for round large numbers, or
            "seconds".
        better: lower or higher; None where neither is.
        against: how a number is set against the pinned row's: as their difference, or as their ratio.
        hint: what people see who point at the title.
        apart: rows with different values here are never set against each other, such as those of two batch sizes.
    """

    name: str
    label: str
    unit: str = ""
    format: str = ""
    better: Literal["lower", "higher"] | None = None
    against: Literal["difference", "ratio"] = "difference"
    hint: str = ""
    apart: bool = False


@dataclass(frozen=True)
class Row:
    """One line of values, one a column; the first is what the row is called.

    Attributes:
        errors: of the values, one a column, or () where there are none.
        aside: for what others are measured by, such as the full model: it stands last and is never the best.
    """

    values: tuple[Value, ...]
    errors: tuple[Error, ...] = ()
    aside: bool = False

    def error(self, index: int) -> Error:
        """The error of a value; None if there is none."""
        return self.errors[index] if self.errors else None


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        key: short name, for files and programs.
        note: what is to be known about the numbers, in sentences.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.values) != len(self.columns) or (row.errors and len(row.errors) != len(self.columns)):
                raise ValueError(f"a row of table {self.key!r} does not have {len(self.columns)} values: {row}")

    @property
    def labels(self) -> list[str]:
        """What the rows are called."""
        return [str(row.values[0]) for row in self.rows]

    def index(self, column: str) -> int:
        """The place of a column; BadRequest names those there are."""
        names = [one.name for one in self.columns]
        if column not in names:
            raise BadRequest(f"table {self.key!r} has no column {column!r}; choose one of: {', '.join(names)}")
        return names.index(column)

    def column(self, name: str) -> list[Value]:
        """The values of a column, from the first row to the last."""
        place = self.index(name)
        return [row.values[place] for row in self.rows]

    def sorted_by(self, column: str, descending: bool = False) -> Table:
        """The rows in the order of a column: numbers, then text, then nothing; rows that stand aside stay below."""
        place = self.index(column)
        known = [row for row in self.rows if not row.aside and _sortable(row.values[place])]
        rest = [row for row in self.rows if not row.aside and not _sortable(row.values[place])]
        known = sorted(known, key=lambda row: _order(row.values[place]), reverse=descending)
        return replace(self, rows=(*known, *rest, *(row for row in self.rows if row.aside)))

    def to_csv(self) -> str:
        """All digits of every number, errors in columns of their own, one line a row."""
        return _written([self._csv_head(), *self._csv_rows()])

    def to_json(self) -> dict[str, Any]:
        """The same as data that JSON can hold; what no number can say (nan, inf) is text."""
        head = self._csv_head()
        return {
            "key": self.key,
            "title": self.title,
            "note": self.note,
            "columns": [asdict(one) for one in self.columns],
            "rows": [dict(zip(head, map(_plain, cells), strict=True)) for cells in self._cells()],
        }

    def _wide(self) -> list[bool]:
        """For each column whether its errors are intervals."""
        return [any(isinstance(row.error(i), tuple) for row in self.rows) for i in range(len(self.columns))]

    def _csv_head(self) -> list[str]:
        head: list[str] = []
        for i, (column, wide) in enumerate(zip(self.columns, self._wide(), strict=True)):
            head.append(column.name)
            if wide:
                head += [f"{column.name}_low", f"{column.name}_high"]
            elif any(row.error(i) is not None for row in self.rows):
                head.append(f"{column.name}_error")
        return head

    def _cells(self) -> list[list[Value]]:
        """The rows as they stand under `_csv_head`."""
        head, wide = self._csv_head(), self._wide()
        return [self._line(row, head, wide) for row in self.rows]

    def _line(self, row: Row, head: Sequence[str], wide: Sequence[bool]) -> list[Value]:
        line: list[Value] = []
        for i, column in enumerate(self.columns):
            error = row.error(i)
            line.append(row.values[i])
            if wide[i]:
                line += error if isinstance(error, tuple) else (None, None)
            elif f"{column.name}_error" in head:
                line.append(error)  # type: ignore[arg-type]  # no interval: the column is not wide
        return line

    def _csv_rows(self) -> list[list[str]]:
        return [csv_cells(line) for line in self._cells()]


def stacked_csv(tables: Sequence[Table]) -> str:
    """All tables as one, the first column naming the table; a column that a table does not have is empty there."""
    heads = [list(table.to_json()["rows"][0]) if table.rows else [] for table in tables]
    columns = list(dict.fromkeys(name for head in heads for name in head))
    lines = [["table", *columns]]
    for table in tables:
        for row in table.to_json()["rows"]:
            lines.append([table.key, *csv_cells([row.get(name) for name in columns])])
    return _written(lines)


def csv_cells(values: Sequence[Value]) -> list[str]:
    """Values as text: numbers with all their digits. Text that a spreadsheet would take for a formula is quoted."""
    return [_csv_cell(_plain(value)) for value in values]


def _csv_cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        formula = value[:1] in ("=", "+", "-", "@", "\t", "\r") and value not in ("-inf",)
        return f"'{value}" if formula else value
    return repr(value) if isinstance(value, float) else str(value)


def _written(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _plain(value: Value) -> Value:
    """A number that JSON cannot hold as text: nan, inf, -inf."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _sortable(value: Value) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _order(value: Value) -> tuple[int, Any]:
    return (1, value.casefold()) if isinstance(value, str) else (0, value)
