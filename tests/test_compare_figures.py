"""The pictures of a comparison over several seeds, and of a study."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from app.tabs import compare
from tinylab.errors import BadRequest
from tinylab.figures import kept_strips, loss_dumbbells
from tinylab.figures.study import candidate_scatter

CLOUD = [("0 1", 0.9, 0.3), ("0 2", 0.5, 0.2), ("0 3", 0.6, 0.1)]
ROWS = {"a": (0.5, 0.11), "b": (0.3, 0.15)}


def scatter(methods: dict[str, list[tuple[float, float]]], full: float = 0.08) -> dict[str, Any]:
    return candidate_scatter(CLOUD, methods, full=full, key="run", heading="all")


def test_scatter_shows_every_candidate_and_every_choice_by_both_losses() -> None:
    cloud, first, second = scatter({"a": [(0.9, 0.3)], "b": [(0.5, 0.2), (0.6, 0.1)]})["data"]
    assert (cloud["x"], cloud["y"], cloud["text"]) == ([0.9, 0.5, 0.6], [0.3, 0.2, 0.1], ["0 1", "0 2", "0 3"])
    assert cloud["name"] == "3 candidates"
    assert (first["name"], first["x"], first["y"]) == ("a", [0.9], [0.3])
    assert (second["x"], second["y"]) == ([0.5, 0.6], [0.2, 0.1])


def test_scatter_is_plain_json_and_keeps_its_zoom() -> None:
    made = scatter({"a": [(0.9, 0.3)]})
    assert json.dumps(made, allow_nan=False) == json.dumps(scatter({"a": [(0.9, 0.3)]}))
    assert made["layout"]["uirevision"] == "run"
    assert made["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"


def test_scatter_tells_more_methods_apart_than_there_are_colours() -> None:
    names = [f"method {i}" for i in range(24)]
    _, *traces = scatter({name: [(0.5, 0.2)] for name in names})["data"]
    looks = {(trace["marker"]["color"], trace["marker"]["symbol"]) for trace in traces}
    assert len(looks) == len(names)


def test_of_two_methods_with_one_choice_both_are_seen() -> None:
    _, first, second = scatter({"a": [(0.9, 0.3)], "b": [(0.9, 0.3)]})["data"]
    assert first["marker"]["size"] > second["marker"]["size"]


def test_scatter_reaches_over_all_points_and_the_full_model() -> None:
    layout = scatter({"a": [(3.0, 0.9)]})["layout"]
    (left, right), (low, high) = layout["xaxis"]["range"], layout["yaxis"]["range"]
    assert left < math.log10(0.5) and right > math.log10(3.0)
    assert low < math.log10(0.08) and high > math.log10(0.9)
    assert layout["shapes"][0]["y0"] == layout["shapes"][0]["y1"] == 0.08
    assert layout["annotations"][0]["y"] == pytest.approx(math.log10(0.08))


@pytest.mark.parametrize("full", [math.inf, 0.0])
def test_scatter_bears_a_level_that_a_log_axis_cannot_show(full: float) -> None:
    layout = scatter({}, full=full)["layout"]
    assert not layout.get("shapes") and all(math.isfinite(end) for end in layout["yaxis"]["range"])


def test_dumbbells_have_bars_only_where_seeds_differ() -> None:
    plain = loss_dumbbells(ROWS, full=0.08, key="run", heading="losses")
    assert plain == loss_dumbbells(
        ROWS, full=0.08, key="run", heading="losses", errors={"a": (None, None), "b": (0.0, None)}
    )
    figure = loss_dumbbells(ROWS, full=0.08, key="run", heading="losses", errors={"a": (0.0, 0.02), "b": (0.0, 0.01)})
    cut, tuned = (trace for trace in figure["data"] if trace["mode"] == "markers")
    assert cut.get("error_x") is None
    assert tuned["error_x"]["array"] == [0.02, 0.01]
    assert tuned["customdata"] == [" ± 0.02000", " ± 0.01000"]


def test_dumbbells_leave_room_for_the_bars() -> None:
    wide = loss_dumbbells({"a": (0.5, 0.2)}, full=0.1, key="run", heading="losses", errors={"a": (0.4, None)})
    low, high = wide["layout"]["xaxis"]["range"]
    assert low < math.log10(0.1) and high > math.log10(0.9)


def test_strips_are_filled_to_the_share_of_the_seeds() -> None:
    strips = kept_strips({"a": {"0": 1.0, "1": 0.4}, "b": ["2"]}, "012", key="run", heading="strips")["data"][0]
    assert strips["z"] == [[1.0, 0.4, 0.0], [0, 0, 1]]
    assert strips["customdata"][0] == ["stays", "stays for 40% of the seeds", "goes"]


def test_form_takes_seeds_as_people_write_them_and_an_empty_one_is_the_seed() -> None:
    assert compare.make_config(None, ["learned"], seeds=" 0-2, 7 ", seed=3).seeds == (0, 1, 2, 7)
    empty = compare.make_config(None, ["learned"], seeds=" ", study="", seed=3)
    assert (empty.seeds, empty.study, empty.seed) == ((), None, 3)
    assert compare.make_config(None, ["random"], study=" study-1 ").study == "study-1"
    with pytest.raises(BadRequest, match="seeds: "):
        compare.make_config(None, ["random"], seeds="all")
