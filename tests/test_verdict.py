"""Whether a search has made up its mind, and what it says if not."""

from __future__ import annotations

from dataclasses import replace

from tinylab.pruning.verdict import GroupState, judge

SURE = GroupState(confidence=0.97, entropy=0.1, moved=4.0, unseen=0.0)


def test_a_decided_search_has_nothing_to_say():
    verdict = judge({"blocks/0": SURE, "blocks/1": SURE}, 250)
    assert verdict.decided and verdict.lines == ()


def test_an_undecided_group_is_named_with_the_way_on():
    verdict = judge({"blocks/0": SURE, "blocks/1": replace(SURE, confidence=0.31)}, 250)
    assert not verdict.decided
    (line,) = verdict.lines
    assert "blocks/1" in line and "blocks/0" not in line and "31%" in line and "--steps 500" in line


def test_logits_that_stood_still_are_told_apart_from_a_close_call():
    verdict = judge({"all": replace(SURE, confidence=0.01, entropy=1.0, moved=0.02)}, 250)
    assert not verdict.decided
    (line,) = verdict.lines
    assert "the budget" in line and "hardly moved" in line and "--lr-mask" in line


def test_choices_that_were_never_drawn_are_told_even_of_a_decided_search():
    verdict = judge({"blocks/0": replace(SURE, unseen=0.6)}, 250)
    assert verdict.decided
    assert "60% were never drawn" in verdict.lines[0]


def test_a_group_with_a_single_option_is_decided_from_the_start():
    assert judge({"blocks/0": GroupState(confidence=1.0, entropy=0.0, moved=0.0, unseen=0.0)}, 9).decided


def test_many_groups_are_listed_shortly():
    states = {f"blocks/{i}": replace(SURE, confidence=0.4) for i in range(9)}
    assert "and 5 more" in judge(states, 250).lines[0]
