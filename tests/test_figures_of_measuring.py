"""Figures of costs, scores, distributions and films: plain data with the numbers given, and nothing lost."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tinylab.figures.cost import SpeedPoint, depth_against_speed, equal_seconds, time_shares
from tinylab.figures.page import figure_block, page
from tinylab.figures.scores import Score, score_bars
from tinylab.figures.search import mask_animation
from tinylab.figures.study import loss_distribution
from tinylab.figures.style import ACCENT

POINTS = {
    "batch 1": [SpeedPoint("full", 1.0, 1.0, 1.0), SpeedPoint("half", 0.5, 1.8, 1.9)],
    "batch 16": [SpeedPoint("half", 0.5, 1.9)],
}
SCORES = {"full": Score(1.0, 0.9, 1.2), "half": Score(2.0)}
LOSSES = [0.1 * 1.05**i for i in range(50)]

MAKERS = {
    "speed": lambda: depth_against_speed(POINTS, key="run", heading="speed"),
    "no speed": lambda: depth_against_speed({}, key="run", heading="speed"),
    "shares": lambda: time_shares({"blocks": 0.9, "rest": 0.1}, key="run", heading="shares"),
    "equal": lambda: equal_seconds({"half": (20, SCORES["half"])}, key="run", heading="equal", unit="FID"),
    "bars": lambda: score_bars(SCORES, key="run", heading="FID", unit="FID", floor=Score(0.4), better="lower"),
    "losses": lambda: loss_distribution(LOSSES, {"a": [0.2]}, key="run", heading="losses", full=0.05),
    "no losses": lambda: loss_distribution([], {}, key="run", heading="losses"),
    "film": lambda: mask_animation([1, 5], [[0.5, 0.5], [0.1, 0.9]], ["0", "1"], key="run", kept=["1"]),
    "no film": lambda: mask_animation([], [], ["0"], key="run"),
}
every_figure = pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))


@every_figure
def test_figure_is_json_and_pure_and_leaves_colours_to_the_page(make: Any) -> None:
    assert json.dumps(make(), allow_nan=False) == json.dumps(make(), allow_nan=False)
    layout = make()["layout"]
    assert layout["uirevision"] == "run" and "font" not in layout
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"


def test_the_limit_is_one_over_the_share_that_stays() -> None:
    limit, expected, measured, other = MAKERS["speed"]()["data"]
    assert limit["x"][0] == 0.5 and limit["x"][-1] == 1.0
    assert limit["y"] == pytest.approx([1 / share for share in limit["x"]])
    assert (measured["x"], measured["y"], measured["text"]) == ([1.0, 0.5], [1.0, 1.8], ["full", "half"])
    assert expected["y"] == [1.0, 1.9] and expected["marker"]["symbol"].endswith("-open")
    assert other["name"] == "batch 16" and other["marker"]["symbol"] != measured["marker"]["symbol"]


def test_bars_have_their_intervals_and_the_floor_is_dotted_through_all_rows() -> None:
    figure = MAKERS["bars"]()
    bars, floor = figure["data"]
    assert bars["x"] == [1.0, 2.0] and bars["y"] == ["full", "half"]
    assert bars["error_x"]["array"] == pytest.approx([0.2, 0]) and not bars["error_x"]["symmetric"]
    assert bars["error_x"]["arrayminus"] == pytest.approx([0.1, 0])
    (line,) = figure["layout"]["shapes"]
    assert line["x0"] == line["x1"] == 0.4 and line["line"]["dash"] == "dot"
    assert "0.4" in floor["name"]


@pytest.mark.parametrize(("better", "best"), [("lower", 0), ("higher", 1), (None, None)])
def test_only_the_best_bar_has_the_accent(better: str | None, best: int | None) -> None:
    colours = score_bars(SCORES, key="k", heading="h", unit="u", better=better)["data"][0]["marker"]["color"]
    assert [i for i, colour in enumerate(colours) if colour == ACCENT] == ([] if best is None else [best])


def test_rivals_at_equal_seconds_are_named_with_their_steps() -> None:
    assert MAKERS["equal"]()["data"][0]["y"] == ["half, 20 steps"]


def test_the_histogram_counts_every_loss_once() -> None:
    cloud = loss_distribution([*LOSSES, math.inf, math.nan, 0.0], {}, key="run", heading="h", bins=7)["data"][0]
    assert sum(cloud["y"]) == len(LOSSES)
    assert cloud["x"][0] == pytest.approx(LOSSES[0]) and cloud["x"][-1] == pytest.approx(LOSSES[-1])
    widths = [math.log(b / a) for a, b in zip(cloud["x"][1:-1], cloud["x"][2:], strict=True)]
    assert widths == pytest.approx([widths[0]] * len(widths))
    assert "50 candidates" in cloud["name"]


def test_equal_candidates_still_make_a_histogram() -> None:
    cloud = loss_distribution([0.2] * 3, {}, key="run", heading="h")["data"][0]
    assert sum(cloud["y"]) == 3


def test_every_method_has_a_line_and_those_with_one_choice_share_it() -> None:
    methods = {"first": [0.2], "greedy": [0.2], "random": [0.3, 0.6], "a": [0.2], "b": [0.2], "broken": [math.nan]}
    _, shared, random, full = loss_distribution(LOSSES, methods, key="run", heading="h", full=0.05)["data"]
    assert shared["name"].startswith("first, greedy, a and 1 more (0.2000")
    assert shared["x"] == [0.2, 0.2]
    assert random["x"] == [0.3, 0.3, None, 0.6, 0.6]
    assert full["x"] == [0.05, 0.05] and full["line"]["dash"] == "dot"
    share = sum(loss <= 0.2 for loss in LOSSES) / len(LOSSES)
    assert f"{share:.1%} of the candidates" in shared["hovertemplate"]


def test_the_film_has_a_frame_a_step_and_rests_on_the_last() -> None:
    figure = MAKERS["film"]()
    assert [frame["name"] for frame in figure["frames"]] == ["1", "5"]
    assert figure["frames"][0]["data"][0]["y"] == [0.5, 0.5]
    assert figure["data"][0]["y"] == [0.1, 0.9]
    colours = figure["data"][0]["marker"]["color"]
    assert colours[1] == ACCENT != colours[0]
    slides = figure["layout"]["sliders"][0]["steps"]
    assert [slide["args"][0] for slide in slides] == [["1"], ["5"]]


def test_a_long_film_is_thinned_and_keeps_its_end() -> None:
    steps = list(range(0, 5000, 5))
    frames = mask_animation(steps, [[0.5]] * len(steps), ["0"], key="run")["frames"]
    assert len(frames) <= 61
    assert frames[0]["name"] == "0" and frames[-1]["name"] == "4995"


def test_no_text_of_a_figure_can_leave_its_script() -> None:
    figure = score_bars({"</script><b>": Score(1.0)}, key="k", heading="h", unit="u")
    block = figure_block(figure, "one", words='a "quoted" <word>')
    assert block.count("</script>") == 1 and "<b>" not in block
    assert 'aria-label="a &quot;quoted&quot; &lt;word&gt;"' in block
    data = block[block.index(">", block.index("<script")) + 1 : block.rindex("</script>")]
    assert json.loads(data)["data"][0]["y"] == ["</script><b>"]


def test_a_page_without_figures_does_not_carry_the_library() -> None:
    assert len(page("T", "<p>x</p>", draws=False)) < 2000
    assert len(page("T", "<p>x</p>")) > 1_000_000
