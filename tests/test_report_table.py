"""Tables of reports: numbers stay numbers in CSV, JSON and HTML, text is escaped, and rows compare as they should."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import pytest

from tinylab.errors import BadRequest
from tinylab.reports import Column, Row, Table
from tinylab.reports.table import stacked_csv
from tinylab.reports.table_render import show, table_html

COLUMNS = (
    Column("model", "Model"),
    Column("loss", "Loss", format=".2f", better="lower"),
    Column("speed", "Speed", unit="×", format=".1f", better="higher", against="ratio"),
)
ROWS = (
    Row(("b", 0.123456789012345, 2.0), (None, 0.01, (1.5, 2.5))),
    Row(("<script>", 0.5, None)),
    Row(("a", 0.25, 3.0), (None, 0.0, (2.5, 3.5))),
    Row(("full", 0.01, 1.0), aside=True),
)
TABLE = Table("models", "Models", COLUMNS, ROWS, "A & B.")


def cells(page: str) -> list[list[str]]:
    """The visible text of every row."""
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def test_rows_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match="does not have 3 values"):
        Table("x", "X", COLUMNS, (Row(("a", 1.0)),))


def test_csv_has_all_digits_and_errors_in_columns_of_their_own() -> None:
    lines = list(csv.DictReader(io.StringIO(TABLE.to_csv())))
    assert list(lines[0]) == ["model", "loss", "loss_error", "speed", "speed_low", "speed_high"]
    assert float(lines[0]["loss"]) == 0.123456789012345
    assert [lines[0][name] for name in ("loss_error", "speed_low", "speed_high")] == ["0.01", "1.5", "2.5"]
    assert lines[1]["speed"] == "" and lines[3]["model"] == "full"


def test_text_that_a_spreadsheet_would_carry_out_is_quoted_and_numbers_are_not() -> None:
    table = Table("x", "X", COLUMNS[:2], (Row(("=1+1", -2.0)), Row(("@a", -math.inf))))
    assert table.to_csv() == "model,loss\n'=1+1,-2.0\n'@a,-inf\n"


def test_json_holds_the_same_as_csv_and_no_number_that_json_does_not_know() -> None:
    table = Table("x", "X", COLUMNS[:2], (Row(("a", math.nan)), Row(("b", 0.1))))
    told = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert told["rows"] == [{"model": "a", "loss": "nan"}, {"model": "b", "loss": 0.1}]
    head = next(csv.reader(io.StringIO(TABLE.to_csv())))
    assert all(list(row) == head for row in TABLE.to_json()["rows"])


def test_stacked_tables_name_themselves_in_the_first_column() -> None:
    other = Table("sizes", "Sizes", (Column("model", "Model"), Column("bytes", "Size")), (Row(("a", 7)),))
    lines = list(csv.DictReader(io.StringIO(stacked_csv([TABLE, other]))))
    assert [line["table"] for line in lines] == ["models"] * 4 + ["sizes"]
    assert lines[-1]["bytes"] == "7" and lines[-1]["loss"] == ""


@pytest.mark.parametrize(
    ("column", "descending", "order"),
    [
        ("loss", False, ["b", "a", "<script>", "full"]),
        ("loss", True, ["<script>", "a", "b", "full"]),
        ("speed", False, ["b", "a", "<script>", "full"]),
        ("speed", True, ["a", "b", "<script>", "full"]),
        ("model", False, ["<script>", "a", "b", "full"]),
    ],
)
def test_sorting_leaves_what_is_unknown_and_what_stands_aside_below(
    column: str, descending: bool, order: list[str]
) -> None:
    assert TABLE.sorted_by(column, descending).labels == order


def test_an_unknown_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match="choose one of: model, loss, speed"):
        TABLE.sorted_by("colour")


def test_html_escapes_text_and_carries_every_number_to_sort_by() -> None:
    page = table_html(TABLE)
    assert "<script>" not in page and "&lt;script&gt;" in page and "A &amp; B." in page
    assert 'data-value="0.123456789012345"' in page and 'data-column="speed"' in page
    assert cells(page)[1] == ["b", "0.12 ± 0.01", "2.0 1.5 to 2.5"]
    assert cells(page)[2] == ["<script>".replace("<", "&lt;").replace(">", "&gt;"), "0.50", "–"]


def test_the_best_stand_out_and_never_what_stands_aside() -> None:
    best = re.findall(r'class="number best" data-value="([^"]+)"', table_html(TABLE))
    assert best == ["0.123456789012345", "3.0"]
    assert "best" not in table_html(TABLE, best=False)
    assert "best" not in table_html(Table("x", "X", COLUMNS, ROWS[:1]))  # one row alone is not the best of anything


def test_a_pinned_row_comes_first_and_others_are_set_against_it() -> None:
    page = table_html(TABLE, "a")
    assert [row[0] for row in cells(page)] == ["Model", "abaseline", "b", "&lt;script&gt;", "full"]
    assert cells(page)[2] == ["b", "0.12 ± 0.01 −0.13", "2.0 1.5 to 2.5 × 0.667"]
    assert 'tl-against good">−0.13' in page and 'tl-against bad">× 0.667' in page
    assert cells(page)[4] == ["full", "0.01", "1.0"]
    with pytest.raises(BadRequest, match="choose one of: b, <script>, a, full"):
        table_html(TABLE, "nobody")


def test_rows_that_are_apart_are_never_set_against_each_other() -> None:
    columns = (COLUMNS[0], Column("batch", "Batch", apart=True), COLUMNS[2])
    speeds = (("a", 1, 2.0), ("b", 1, 4.0), ("a", 16, 8.0), ("b", 16, 16.0))
    doubled = tuple(Row(values) for values in speeds)
    page = table_html(Table("x", "X", columns, doubled), "a")
    assert [row[0] for row in cells(page)[1:]] == ["abaseline", "abaseline", "b", "b"]
    assert page.count("× 2<") == 2
    assert page.count("number best") == 2


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        (None, ".2f", "–"),
        (True, "", "yes"),
        (1234, ",d", "1,234"),
        (1234.5, ",d", "1,234.5"),
        (5 * 2**20, "bytes", "5 MiB"),
        (12, "bytes", "12 B"),
        (2.5e9, "big", "2.5 G"),
        (41.26, "seconds", "41.3"),
        (2e-5, "seconds", "< 0.001"),
        (math.inf, ".2f", "inf"),
        (0.123456, "", "0.1235"),
    ],
)
def test_values_are_shown_as_people_read_them(value: object, form: str, words: str) -> None:
    assert show(value, form) == words  # type: ignore[arg-type]
