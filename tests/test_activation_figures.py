"""Figures of activations hold the numbers given, and put blocks where they stood before the cut."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tinylab.errors import BadRequest
from tinylab.figures import activation_heatmap, far_shares, largest_activations
from tinylab.figures.page import html_page
from tinylab.metrics.layer_activations import EDGES, Activations, ChannelPart, LayerActivations


def layer(name: str, place: int, largest: float, counts: dict[float, int] | None = None) -> LayerActivations:
    counts = counts or {0.0: 90, 50.0: 10}
    return LayerActivations(
        name=name,
        place=place,
        mean=0.0,
        deviation=1.0,
        largest=largest,
        furthest=51.5,
        beyond={2.0: largest / 100, 5.0: largest / 1000},
        counts=tuple(counts.get(edge, 0) for edge in EDGES[:-1]),
        channels=(ChannelPart(7, largest, 0.5),),
    )


TEACHER = {"blocks": [layer(str(i), i, 1.0 + i) for i in range(4)]}
CUT = {"blocks": [layer("0", 1, 20.0), layer("1", 3, 30.0)]}
MODELS: dict[str, Activations] = {"teacher": TEACHER, "after the cut": CUT}
MAR = {
    "encoder_blocks": [layer("e0", 0, 1.0), layer("e1", 1, 2.0)],
    "decoder_blocks": [layer("d0", 0, 3.0), layer("d1", 2, 4.0)],
}
MAKERS = {
    "largest": lambda: largest_activations(MODELS, key="run", heading="largest"),
    "shares": lambda: far_shares(MODELS, key="run", heading="shares"),
    "heatmap": lambda: activation_heatmap(MAR, key="run", heading="heatmap"),
    "nothing": lambda: largest_activations({}, key="run", heading="nothing"),
    "no shares": lambda: far_shares({}, key="run", heading="nothing"),
    "empty heatmap": lambda: activation_heatmap({}, key="run", heading="nothing"),
}
every_figure = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))


@every_figure
def test_figure_is_json_and_pure_and_keeps_its_zoom(make: Any) -> None:
    assert json.dumps(make(), allow_nan=False) == json.dumps(make(), allow_nan=False)
    assert make()["layout"]["uirevision"] == "run"


@every_figure
def test_figure_names_its_axes_and_leaves_colours_to_the_page(make: Any) -> None:
    layout = make()["layout"]
    assert layout["xaxis"]["title"]["text"] and layout["yaxis"]["title"]["text"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"


def test_lines_hold_the_largest_values_and_the_students_blocks_stand_at_the_teachers() -> None:
    figure = MAKERS["largest"]()
    teacher, cut = figure["data"]
    assert (teacher["name"], teacher["x"], teacher["y"]) == ("teacher", ["0", "1", "2", "3"], [1.0, 2.0, 3.0, 4.0])
    assert (cut["name"], cut["x"], cut["y"]) == ("after the cut", ["1", "3"], [20.0, 30.0])
    assert figure["layout"]["xaxis"]["categoryarray"] == ["0", "1", "2", "3"]
    low, high = figure["layout"]["yaxis"]["range"]
    assert figure["layout"]["yaxis"]["type"] == "log"
    assert low < math.log10(1) < math.log10(30) < high


def test_models_differ_in_colour_and_in_shape() -> None:
    teacher, cut = (trace["marker"] for trace in MAKERS["largest"]()["data"])
    assert teacher["color"] != cut["color"]
    assert teacher["symbol"] != cut["symbol"]


def test_stacks_lie_one_behind_the_other_with_a_gap_in_the_line() -> None:
    figure = largest_activations({"mar": MAR}, key="run", heading="largest")
    (line,) = figure["data"]
    assert line["x"] == ["e0", "e1", None, "d0", "d2"]
    assert line["y"] == [1.0, 2.0, None, 3.0, 4.0]
    assert figure["layout"]["xaxis"]["categoryarray"] == ["e0", "e1", "d0", "d1", "d2"]
    assert figure["layout"]["xaxis"]["range"] == [-0.5, 4.5]


def test_who_points_at_a_block_is_told_all_of_it() -> None:
    _, cut = MAKERS["largest"]()["data"]
    words = cut["customdata"][1]
    for part in ("block 3 (now 1)", "largest 30 in channel 7", "51.5σ", "30.0% beyond 2σ", "3.00% beyond 5σ"):
        assert part in words


@pytest.mark.parametrize(("sigma", "shares"), [(2.0, [0.2, 0.3]), (5.0, [0.02, 0.03])])
def test_shares_are_those_of_the_sigma_asked_for_beside_those_of_a_gaussian(sigma: float, shares: list[float]) -> None:
    figure = far_shares(MODELS, key="run", heading="shares", sigma=sigma)
    _, cut, gaussian = figure["data"]
    assert cut["y"] == shares
    assert gaussian["x"] == ["0", "3"]
    assert gaussian["y"] == pytest.approx([{2.0: 0.0455003, 5.0: 5.733e-7}[sigma]] * 2, rel=1e-4)
    assert {2.0: "4.55% beyond 2σ", 5.0: "0.0000573% beyond 5σ"}[sigma] in gaussian["hovertemplate"]
    assert f"{sigma:g}σ" in figure["layout"]["yaxis"]["title"]["text"]


def test_long_names_have_a_line_of_the_legend_each() -> None:
    short, long = (
        largest_activations({f"{word}{i}": TEACHER for i in range(4)}, key="run", heading="largest")["layout"]
        for word in ("cut ", "/a/folder/far/away/")
    )
    assert long["margin"]["t"] - short["margin"]["t"] == long["height"] - short["height"] > 0


def test_a_share_that_was_not_measured_is_refused() -> None:
    with pytest.raises(BadRequest, match="beyond 4σ was not measured; choose one of 2, 5"):
        far_shares(MODELS, key="run", heading="shares", sigma=4.0)


def test_heatmap_shows_the_share_of_every_bin_and_nothing_where_there_is_none() -> None:
    stacks = {"blocks": [layer("0", 0, 1.0), layer("1", 2, 1.0, {0.5: 1000, 50.0: 1})]}
    figure = activation_heatmap(stacks, key="run", heading="heatmap")
    (trace,) = figure["data"]
    assert trace["x"] == ["0", "2"]
    rows = dict(zip(trace["y"], trace["z"], strict=True))
    assert len(rows) == len(EDGES) - 1
    assert rows["0–0.5"] == [pytest.approx(math.log10(0.9)), None]
    assert rows["0.5–1"] == [None, pytest.approx(math.log10(1000 / 1001))]
    assert rows["≥ 50"] == [pytest.approx(-1), pytest.approx(math.log10(1 / 1001))]
    assert rows["30–50"] == [None, None]
    assert trace["customdata"][-1] == ["10 values, 10.0%", "1 values, 0.0999%"]
    assert figure["layout"]["xaxis"]["categoryarray"] == ["0", "1", "2"]


def test_a_page_holds_all_its_figures_and_asks_for_nothing_from_elsewhere() -> None:
    page = html_page("<Title>", [make() for make in MAKERS.values()], words="a & b")
    assert all(f'id="figure-{index}"' in page for index in range(len(MAKERS)))
    assert page.count("<script") == page.count("</script>")
    assert "<script src" not in page and "<link" not in page
    assert "&lt;Title&gt;" in page and "a &amp; b" in page
    assert page.count("plotly.js v") == 1
