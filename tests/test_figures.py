"""Figures are plain data: right shapes, zoom that lasts, and nothing that JSON cannot say."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tinylab.figures import curves, curves_of_two, keep_heatmap, kept_strips, loss_dumbbells, option_bars
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
MAKERS["curves of two"] = lambda: curves_of_two(
    {"a": {"loss": [(1, 0.9)], "kd": [(1, 0.1)]}, "b": {"loss": [(1, 0.8), (2, 0.3)]}},
    key="run",
    heading="loss",
    unit="loss",
    log=True,
)
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


TERMS = {"loss": [(1, 0.9), (2, 0.5)], "kd": [(1, 0.04), (2, 0.001)]}


def test_several_curves_have_one_entry_each_in_the_legend() -> None:
    traces = curves(TERMS, key="run", heading="loss", unit="loss", log=True)["data"]
    shown = [trace for trace in traces if trace.get("showlegend") is not False]
    assert [trace["name"] for trace in shown] == ["loss", "kd"]
    assert [trace["y"] for trace in shown] == [smooth([0.9, 0.5]), smooth([0.04, 0.001])]
    raw = [trace for trace in traces if trace.get("showlegend") is False]
    assert [trace["y"] for trace in raw] == [[0.9, 0.5], [0.04, 0.001]]
    assert [trace["legendgroup"] for trace in raw] == ["loss", "kd"]  # a click hides both


def test_curves_on_a_log_scale_all_lie_inside() -> None:
    found = curves(TERMS, key="run", heading="loss", unit="loss", log=True)["layout"]["yaxis"]
    assert found["range"][0] < math.log10(0.001) and math.log10(0.9) < found["range"][1]
    assert {"0.001", "0.01", "0.1"} <= set(found["ticktext"])
    assert len(found["ticktext"]) <= 9
    wide = {"a": [(1, 1e-6), (2, 1e4)]}
    found = curves(wide, key="run", heading="loss", unit="loss", log=True)["layout"]["yaxis"]
    assert [math.log10(value) for value in found["tickvals"]] == pytest.approx(range(-6, 5))


def test_curve_as_it_is_goes_through_its_points_and_marks_few() -> None:
    (line,) = curves({"share": [(0, 0.1), (5, 0.4)]}, key="run", heading="", unit="share", smoothed=False)["data"]
    assert (line["x"], line["y"], line["mode"]) == ([0, 5], [0.1, 0.4], "lines+markers")
    many = [(step, 0.1 * step) for step in range(100)]
    (line,) = curves({"share": many}, key="run", heading="", unit="share", smoothed=False)["data"]
    assert line["mode"] == "lines"


def test_two_runs_differ_in_dashes_and_their_lines_in_colour() -> None:
    runs = {"a": TERMS, "b": {"loss": TERMS["loss"], "vb": [(1, 0.2)]}}
    traces = curves_of_two(runs, key="run", heading="loss", unit="loss", log=True)["data"]
    shown = [trace["name"] for trace in traces if trace.get("showlegend") is not False]
    assert shown == ["loss", "kd", "vb", "a", "b"]
    drawn = [trace for trace in traces if trace["x"] != [None]]
    assert len({(trace["name"], trace["line"]["dash"]) for trace in drawn}) == 4
    by_name = {trace["name"]: set() for trace in drawn}
    for trace in drawn:
        by_name[trace["name"]].add(trace["line"]["color"])
    assert all(len(colours) == 1 for colours in by_name.values())
    assert len(set.union(*by_name.values())) == 3
    assert {trace["hovertemplate"].split("<br>")[0] for trace in drawn} == {"loss, a", "loss, b", "kd, a", "vb, b"}


def test_two_runs_of_one_line_differ_in_colour_and_are_named_themselves() -> None:
    runs = {"a": {"norm": [(1, 0.5), (2, 0.4)]}, "b": {"norm": [(1, 0.3)]}}
    one, two = curves_of_two(runs, key="run", heading="norm", unit="norm", smoothed=False)["data"]
    assert (one["name"], one["y"], two["name"], two["y"]) == ("a", [0.5, 0.4], "b", [0.3])
    assert one["line"]["color"] != two["line"]["color"] and one["line"]["dash"] != two["line"]["dash"]


def test_smoothing_leaves_a_constant_alone_and_starts_at_the_first_value() -> None:
    assert smooth([0.25] * 5) == pytest.approx([0.25] * 5)
    assert smooth([3.0, 1.0])[0] == pytest.approx(3.0)
    assert smooth([]) == []


def test_a_first_point_has_room_around_it() -> None:
    layout = curves({"loss": [(1, 0.2159)]}, key="run", heading="loss", unit="loss")["layout"]
    assert layout["yaxis"]["range"] == pytest.approx([0.2159 * 0.9, 0.2159 * 1.1])
    layout = curves({"loss": [(1, 0.2159), (2, 0.2160)]}, key="run", heading="loss", unit="loss")["layout"]
    assert layout["yaxis"].get("range") is None
