"""A table as HTML: sortable, the best value of every column standing out, one row pinned to compare with."""

import html
import math
from collections.abc import Sequence

from tinylab.errors import BadRequest
from tinylab.reports.table import Column, Error, Row, Table, Value

__all__ = ["show", "table_html", "text_lines"]

_NOTHING = "–"

_Part = tuple[Value, ...]


def table_html(table: Table, baseline: str | None = None, *, best: bool = True) -> str:
    """The table for a page, all text escaped; every cell has its number as `data-value`, to sort by.

    Args:
        baseline: what the row is called that is pinned to the top and that the others are set against; where rows are
            apart there is one for each part.
        best: whether the best value of a column stands out.

    Raises:
        BadRequest: no row is called `baseline`.
    """
    pinned = _pinned(table, baseline)
    first = list(pinned.values())
    known = {id(row) for row in first}
    rows = [*first, *(row for row in table.rows if id(row) not in known)]
    numbers = [any(isinstance(row.values[i], int | float) for row in table.rows) for i in range(len(table.columns))]
    best_values = _best_of_parts(table) if best else {}
    head = "".join(_title(table, index, numbers[index]) for index in range(len(table.columns)))
    nothing: list[float | None] = [None] * len(table.columns)
    body = "".join(
        _row(table, row, pinned.get(part := _part(table, row)), best_values.get(part, nothing), numbers) for row in rows
    )
    note = f'<p class="tl-note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="tl-scroll" tabindex="0" role="region" aria-label="{html.escape(table.title)}">'
        f'<table class="tl-table" data-table="{html.escape(table.key)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"
    )


def show(value: Value, form: str) -> str:
    """A value for people; nothing is a dash."""
    if value is None:
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return str(value)
    if form == "bytes":
        return _round(value, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB"))
    if form == "big":
        return _round(value, 1000.0, ("", "K", "M", "G", "T", "P"))
    if form == "seconds":
        return "< 0.001" if 0 < value < 0.001 else f"{value:.3g}"
    if isinstance(value, float) and form.endswith("d"):  # a mean of whole numbers, or a stranger's
        form = f"{form[:-1]}.6g"
    return format(value, form or (",d" if isinstance(value, int) else ".4g"))


def _round(value: float, base: float, units: tuple[str, ...]) -> str:
    place = 0
    while abs(value) >= base and place < len(units) - 1:
        value, place = value / base, place + 1
    return f"{value:.3g} {units[place]}".strip() if place else f"{value:g} {units[0]}".strip()


def _part(table: Table, row: Row) -> _Part:
    """What must be equal in two rows that are set against each other."""
    return tuple(value for column, value in zip(table.columns, row.values, strict=True) if column.apart)


def _pinned(table: Table, baseline: str | None) -> dict[_Part, Row]:
    """The pinned row of every part."""
    if baseline is None:
        return {}
    found: dict[_Part, Row] = {}
    for row in table.rows:
        if row.values[0] == baseline:
            found.setdefault(_part(table, row), row)
    if not found:
        names = ", ".join(dict.fromkeys(table.labels)) or "none"
        raise BadRequest(f"no row of {table.title!r} is called {baseline!r}; choose one of: {names}")
    return found


def _best_of_parts(table: Table) -> dict[_Part, list[float | None]]:
    """The best number of every column in each part of the rows."""
    parts: dict[_Part, list[Row]] = {}
    for row in table.rows:
        if not row.aside:
            parts.setdefault(_part(table, row), []).append(row)
    return {part: _best(table, rows) for part, rows in parts.items()}


def _best(table: Table, rows: Sequence[Row]) -> list[float | None]:
    """The best number of every column among some rows; None where there is nothing to choose from."""
    found: list[float | None] = []
    for index, column in enumerate(table.columns):
        values = [row.values[index] for row in rows]
        numbers = [v for v in values if isinstance(v, int | float) and _number(v)]
        choose = {"lower": min, "higher": max}.get(column.better or "")
        found.append(choose(numbers) if choose and len(numbers) > 1 else None)
    return found


def _title(table: Table, index: int, of_numbers: bool) -> str:
    column = table.columns[index]
    look = ' class="right"' if of_numbers and index else ""
    unit = f" ({column.unit})" if column.unit else ""
    better = f"{column.better} is better" if column.better else ""
    told = "; ".join(filter(None, (column.hint, better)))
    hint = f' title="{html.escape(told)}"' if told else ""
    words = html.escape(column.label + unit)
    return f'<th scope="col"{look} data-column="{html.escape(column.name)}"{hint}>{words}</th>'


def _row(table: Table, row: Row, pinned: Row | None, best: Sequence[float | None], numbers: Sequence[bool]) -> str:
    classes = [name for name, given in (("pinned", row is pinned), ("aside", row.aside)) if given]
    cells = "".join(_cell(table, row, pinned, i, best[i], numbers[i]) for i in range(1, len(table.columns)))
    first = html.escape(show(row.values[0], table.columns[0].format))
    mark = '<span class="tl-pin">baseline</span>' if row is pinned else ""
    tag = f' class="{" ".join(classes)}"' if classes else ""
    return f'<tr{tag}><th scope="row" data-value="{html.escape(str(row.values[0]))}">{first}{mark}</th>{cells}</tr>'


def _cell(table: Table, row: Row, pinned: Row | None, index: int, best: float | None, of_numbers: bool) -> str:
    column, value = table.columns[index], row.values[index]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    stands_out = number and not row.aside and best is not None and value == best
    words = isinstance(value, str)
    right = number or value is None and of_numbers
    names = [name for name, given in (("number", right), ("text", words), ("best", stands_out)) if given]
    tag = f' class="{" ".join(names)}"' if names else ""
    shown = html.escape(show(value, column.format)) + _error(row.error(index), column.format)
    if pinned is not None and row is not pinned and not row.aside:
        shown += _against(value, pinned.values[index], column)
    sortable = "" if value is None else html.escape(repr(value) if number else str(value))
    return f'<td{tag} data-value="{sortable}">{shown}</td>'


def _error(error: Error, form: str) -> str:
    """What is known of the precision; nothing where seeds did not differ."""
    if error is None or error == 0:
        return ""
    if isinstance(error, tuple):
        if None in error:
            return ""
        low, high = (html.escape(show(end, form)) for end in error)
        return f' <span class="tl-error-of tl-span">{low} to {high}</span>'
    return f' <span class="tl-error-of">± {html.escape(show(error, form))}</span>'


def _against(value: Value, base: Value, column: Column) -> str:
    """A number set against the pinned row's."""
    if not (_number(value) and _number(base)) or column.better is None:
        return ""
    assert isinstance(value, int | float) and isinstance(base, int | float)
    if column.against == "ratio":
        if not base:
            return ""
        words, better = f"× {value / base:.3g}", value / base - 1
    else:
        words, better = f"{'+' if value >= base else '−'}{show(abs(value - base), column.format)}", value - base
    side = "" if not better else "good" if (better < 0) == (column.better == "lower") else "bad"
    return f' <span class="tl-against {side}">{html.escape(words)}</span>'


def _number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def text_lines(table: Table) -> list[list[str]]:
    """The head, then the rows, cell by cell; columns that hold nothing are left out."""
    filled = [i for i in range(len(table.columns)) if any(row.values[i] is not None for row in table.rows)]
    head = [_text_title(table.columns[i]) for i in filled]
    return [head, *([_text_cell(row, i, table.columns[i]) for i in filled] for row in table.rows)]


def _text_title(column: Column) -> str:
    return f"{column.label} ({column.unit})" if column.unit else column.label


def _text_cell(row: Row, index: int, column: Column) -> str:
    return show(row.values[index], column.format) + _text_error(row.error(index), column.format)


def _text_error(error: Error, form: str) -> str:
    """A standard error, or the ends of an interval; nothing where seeds did not differ."""
    if not error:
        return ""
    if isinstance(error, tuple):
        return "" if None in error else f" ({show(error[0], form)} to {show(error[1], form)})"
    return f" ± {show(error, form)}"
