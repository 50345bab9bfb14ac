"""Figures are plain data: right shapes, zoom that lasts, and nothing that JSON cannot say."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tinylab.figures import curves, keep_heatmap, kept_strips, loss_dumbbells, option_bars
from tinylab.figures.training import smooth
from tinylab.pruning.layout import Layout

ROWS = {"Learned (TinyFusion)": (0.5, 0.11), "Random": (0.3, 0.15)}
OPTIONS = Layout.parse("1:2", {"blocks": 2}).groups[0].options({})

MAKERS = {
    "heatmap": lambda: keep_heatmap([1, 10, 20], [[0.5, 0.5]] * 3, ["0", "1"], key="run", total_steps=40),
    "bars": lambda: option_bars([("01", [0.7, 0.3], OPTIONS), ("23", [0.4, 0.6], OPTIONS)], key="run"),
    "strips": lambda: kept_strips({"a": "02", "b": "13"}, "0123", key="run", heading="strips"),
    "dumbbells": lambda: loss_dumbbells(ROWS, full=0.08, key="run", heading="losses"),
    "curves": lambda: curves(
        {"loss": [(1, 0.9), (2, 0.5)]}, key="run", heading="loss", unit="loss", levels={"full": 0.1}, total_steps=9
    ),
}
every_figure = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))


@every_figure
def test_figure_is_json_and_pure(make: Any) -> None:
    assert json.dumps(make(), allow_nan=False) == json.dumps(make(), allow_nan=False)


@every_figure
def test_figure_keeps_zoom_as_long_as_its_key_stays(make: Any) -> None:
    assert make()["layout"]["uirevision"] == "run"


@every_figure
def test_figure_leaves_background_and_font_colour_to_the_page(make: Any) -> None:
    layout = make()["layout"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert "font" not in layout


def test_heatmap_has_a_row_for_each_block_and_a_column_for_each_logged_step() -> None:
    figure = keep_heatmap([1, 10], [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], ["e0", "e1", "d0"], key="run", total_steps=40)
    assert figure["data"][0]["z"] == [[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]]
    assert figure["data"][0]["y"] == ["e0", "e1", "d0"]
    assert figure["layout"]["xaxis"]["range"] == [0, 40]


def test_heatmap_of_nothing_is_empty() -> None:
    assert keep_heatmap([], [], [], key="run")["data"][0]["z"] == []


def test_option_bars_show_the_most_probable_first_and_mark_the_chosen_of_each_group() -> None:
    bars = MAKERS["bars"]()["data"][0]
    assert bars["y"] == ["0", "3", "2", "1"]
    assert bars["x"] == [0.7, 0.6, 0.4, 0.3]
    colours = bars["marker"]["color"]
    assert colours[0] == colours[1] != colours[2] == colours[3]


@pytest.mark.parametrize(("most", "end"), [(0.004, 0.01), (0.03, 0.05), (0.6, 1), (1.0, 1)])
def test_option_bars_end_their_axis_where_the_longest_bar_can_be_read(most: float, end: float) -> None:
    figure = option_bars([("01", [most, most / 2], OPTIONS)], key="run")
    assert figure["layout"]["xaxis"]["range"] == [0, end]


def test_option_bars_show_no_more_than_asked() -> None:
    pattern = Layout.parse("2:4", {"blocks": 4}).groups[0].options({})
    assert len(option_bars([("0123", [1 / 6] * 6, pattern)], key="run", shown=5)["data"][0]["x"]) == 5


def test_strips_fill_the_kept_cells() -> None:
    assert MAKERS["strips"]()["data"][0]["z"] == [[1, 0, 1, 0], [0, 1, 0, 1]]


def test_dumbbells_have_two_points_for_each_tuned_method_and_one_otherwise() -> None:
    rows = {**ROWS, "cut only": (0.4, None)}
    figure = loss_dumbbells(rows, full=0.08, key="run", heading="losses")
    points = {trace["name"]: trace["x"] for trace in figure["data"] if trace["mode"] == "markers" and "name" in trace}
    assert points["right after the cut"] == [0.5, 0.3, 0.4]
    assert points["fine-tuned"] == [0.11, 0.15]


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((0.9, 0.1), ["0.1", "0.2", "0.5", "1"]),
        ((0.15, 0.1), ["0.08", "0.1", "0.15"]),
        ((60.0, 0.2), ["0.1", "1", "50"]),
    ],
)
def test_log_axis_is_labelled_with_round_numbers(losses: tuple[float, float], words: list[str]) -> None:
    axis = loss_dumbbells({"a": losses}, full=0.078, key="run", heading="losses")["layout"]["xaxis"]
    assert set(words) <= set(axis["ticktext"])
    assert 3 <= len(axis["ticktext"]) <= 10
    low, high = axis["range"]
    assert all(low <= math.log10(value) <= high for value in axis["tickvals"])


def test_dumbbells_bear_a_loss_that_is_no_number() -> None:
    figure = loss_dumbbells({"a": (math.inf, 0.1)}, full=0.08, key="run", heading="losses")
    assert all(math.isfinite(end) for end in figure["layout"]["xaxis"]["range"])


def test_names_in_brackets_go_to_a_second_line() -> None:
    axis = MAKERS["dumbbells"]()["layout"]["yaxis"]
    assert axis["ticktext"] == ["Learned<br>(TinyFusion)", "Random"]


def test_curves_show_what_was_measured_beside_the_smoothed_line_and_levels_across() -> None:
    raw, line, level = MAKERS["curves"]()["data"]
    assert raw["y"] == [0.9, 0.5]
    assert line["y"] == smooth([0.9, 0.5])
    assert (level["x"], level["y"]) == ([0, 9], [0.1, 0.1])


def test_smoothing_leaves_a_constant_alone_and_starts_at_the_first_value() -> None:
    assert smooth([0.25] * 5) == pytest.approx([0.25] * 5)
    assert smooth([3.0, 1.0])[0] == pytest.approx(3.0)
    assert smooth([]) == []


def test_a_first_point_has_room_around_it() -> None:
    layout = curves({"loss": [(1, 0.2159)]}, key="run", heading="loss", unit="loss")["layout"]
    assert layout["yaxis"]["range"] == pytest.approx([0.2159 * 0.9, 0.2159 * 1.1])
    layout = curves({"loss": [(1, 0.2159), (2, 0.2160)]}, key="run", heading="loss", unit="loss")["layout"]
    assert layout["yaxis"].get("range") is None
