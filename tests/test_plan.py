"""Patterns and plans."""

from __future__ import annotations

import json

import pytest

from tinylab.errors import BadRequest
from tinylab.pruning.plan import DepthPlan


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
