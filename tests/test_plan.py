"""Patterns and plans."""

from __future__ import annotations

import json
import math

import pytest

from tinylab.errors import BadRequest
from tinylab.pruning.plan import DepthPlan, NMPattern, halving_patterns


@pytest.mark.parametrize("text", ["", "6", "6:", "a:b", "6:12:3", "-1:2", "0:2", "2:2", "3:2", "20:40"])
def test_a_bad_pattern_is_refused_in_one_line(text):
    with pytest.raises(BadRequest) as problem:
        NMPattern.parse(text)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("text", ["1:9999", "5000:9999", "100:200", "1:" + "9" * 100_000])
def test_a_huge_pattern_is_refused_in_a_short_line(text):
    with pytest.raises(BadRequest) as problem:
        NMPattern.parse(text)
    assert len(str(problem.value)) < 120


def test_a_pattern_that_does_not_fit_names_those_that_do():
    with pytest.raises(BadRequest, match="1:2, 1:3, 2:4, 3:6, 6:12"):
        NMPattern.parse("2:5").groups(12)


@pytest.mark.parametrize("depth", [2, 7, 12, 28])
def test_every_pattern_that_is_offered_fits(depth):
    offered = halving_patterns({"blocks": depth})
    assert offered
    for text in offered:
        pattern = NMPattern.parse(text)
        assert sum(len(group) for group in pattern.groups(depth)) == depth


def test_options_are_all_masks_in_the_order_of_combinations():
    options = NMPattern.parse("2:4").options()
    assert len(options) == math.comb(4, 2)
    assert options[:2] == [(1, 1, 0, 0), (1, 0, 1, 0)]
    assert all(sum(option) == 2 for option in options)


def test_a_plan_survives_its_file(tmp_path):
    plan = DepthPlan.of([5, 0, 3], {"blocks": 12}, "learned", model="digits-dit", details={"seed": 3})
    plan.save(tmp_path / "plan.json")
    assert DepthPlan.load(tmp_path / "plan.json") == plan
    document = json.loads((tmp_path / "plan.json").read_text())
    assert document["kept"] == {"blocks": [0, 3, 5]}
    assert document["depth"] == 12
    assert document["method"] == "learned"


def test_the_short_form_of_a_plan_is_read(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"kept": {"blocks": [4, 1]}, "depth": 6, "method": "mine"}')
    assert DepthPlan.load(path) == DepthPlan({"blocks": (1, 4)}, {"blocks": 6}, "mine")


@pytest.mark.parametrize(
    "indices, words",
    [([], "no index"), ([12], "out of range"), ([-1], "out of range"), ([1, 1], "twice")],
)
def test_indices_that_cannot_be_kept_are_refused(indices, words):
    with pytest.raises(BadRequest, match=words):
        DepthPlan.of(indices, {"blocks": 12}, "indices")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"kept": {"blocks": ["x"]}, "depth": 12, "method": "m"}', "nul"])
def test_a_file_that_is_no_plan_is_refused(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(BadRequest, match="plan"):
        DepthPlan.load(path)


def test_a_plan_for_another_model_is_refused():
    plan = DepthPlan.of([0, 1], {"blocks": 4}, "indices")
    with pytest.raises(BadRequest, match="the plan is for 4 blocks, the model has 12 blocks"):
        plan.check_fits({"blocks": 12})
