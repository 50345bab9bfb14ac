"""Patterns: how many blocks stay, and where."""

from __future__ import annotations

import math

import pytest

from tinylab.errors import BadRequest
from tinylab.pruning.layout import Layout, NMPattern, halving_patterns

DEPTH = {"blocks": 12}
TWO = {"encoder": 6, "decoder": 4}


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
    options = Layout.parse("2:4", {"blocks": 4}).groups[0].options({})
    assert len(options) == math.comb(4, 2)
    assert options[:2] == [(1, 1, 0, 0), (1, 0, 1, 0)]
    assert all(sum(option) == 2 for option in options)


def _kept(text, depth):
    return [(group.name, group.keep, len(group.blocks)) for group in Layout.parse(text, depth).groups]


def test_a_mixed_pattern_is_taken_as_it_stands():
    assert _kept("2:4x2,3:4", DEPTH) == [("blocks/0", 2, 4), ("blocks/1", 2, 4), ("blocks/2", 3, 4)]
    assert Layout.parse("2:4x2,3:4", DEPTH).total == 7
    assert _kept("1:12x1", DEPTH) == [("blocks/0", 1, 12)]


def test_each_stack_may_have_its_own_groups():
    assert _kept("decoder=2:4;encoder=1:2", TWO) == [
        *[(f"encoder/{i}", 1, 2) for i in range(3)],
        ("decoder/0", 2, 4),
    ]


def test_a_global_budget_is_one_group_over_all_stacks():
    layout = Layout.parse("keep=5", TWO)
    assert layout.is_global and layout.total == 5
    assert layout.groups[0].blocks[5:7] == (("encoder", 5), ("decoder", 0))
    timed = Layout.parse("time=0.5", TWO)
    assert timed.is_global and timed.total is None and timed.time == 0.5


@pytest.mark.parametrize("text", ["half", "1:2", "1:2x3,2:6", "keep=4", "time=.25"])
def test_a_resolved_pattern_is_read_as_itself(text):
    layout = Layout.parse(text, DEPTH)
    assert Layout.parse(str(layout), DEPTH) == layout
    covered = [block for group in layout.groups for block in group.blocks]
    assert covered == [("blocks", i) for i in range(12)]


@pytest.mark.parametrize(
    "text, depth, words",
    [
        ("2:4x2", DEPTH, "covers 8 blocks, 'blocks' has 12"),
        ("2:4x0,2:4", DEPTH, "N:MxTIMES"),
        ("2:4xx,2:4", DEPTH, "N:MxTIMES"),
        ("keep=0", DEPTH, "keep 1 to 11"),
        ("keep=12", DEPTH, "keep 1 to 11"),
        ("keep=1", TWO, "keep 2 to 9"),
        ("keep=x", DEPTH, "number of blocks"),
        ("time=1", DEPTH, "between 0 and 1"),
        ("time=0.0", DEPTH, "between 0 and 1"),
        ("time=nan", DEPTH, "between 0 and 1"),
        ("encoder=1:2", TWO, "does not name decoder"),
        ("encoder=1:2;encoder=1:2", TWO, "each stack once"),
        ("blocks=1:2", TWO, "each stack once"),
        ("half", {"encoder": 3, "decoder": 2}, "keep=2"),
        ("1:2," * 200, DEPTH, "a pattern is"),
    ],
)
def test_a_pattern_that_cannot_be_is_refused_with_the_mend(text, depth, words):
    with pytest.raises(BadRequest, match=words) as problem:
        Layout.parse(text, depth)
    assert len(str(problem.value)) < 250


def test_protected_blocks_stay_in_every_option_and_count():
    layout = Layout.parse("2:4", {"blocks": 8}, {"blocks": (0, 7)})
    first, last = (group.options({"blocks": (0, 7)}) for group in layout.groups)
    assert len(first) == len(last) == 3
    assert all(option[0] for option in first) and all(option[3] for option in last)
    with pytest.raises(BadRequest, match="2 of them must stay"):
        Layout.parse("1:4", {"blocks": 4}, {"blocks": (0, 3)})
