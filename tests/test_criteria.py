"""Rival criteria, each against a result worked out by hand."""

from __future__ import annotations

import pytest
import torch

from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.errors import BadRequest
from tinylab.pruning.criteria import CRITERIA, Request
from tinylab.pruning.criteria.base import keep_highest
from tinylab.pruning.criteria.block_changes import block_changes, turn
from tinylab.pruning.criteria.placement import oracle_indices
from tinylab.pruning.layout import Layout


def _request(model, keep=2, **changes):
    layout = Layout.budget(keep, {"blocks": len(model.blocks)})
    return Request(
        model, layout, **{"objective": objective_for(model), "data": load_digits()[0], "samples": 16, **changes}
    )


def _scale_stream(block, factor):
    """Make a block multiply its input by `factor` through a hook, so that its influence is known."""
    block.forward = lambda x, c: factor * x


def test_influence_of_a_block_that_only_scales_is_zero_and_of_one_that_flips_is_two(tiny_dit):
    for block, factor in zip(tiny_dit.blocks, (1.0, 3.0, -1.0, -0.5), strict=True):
        _scale_stream(block, factor)
    scores = block_changes(_request(tiny_dit), turn)["blocks"]
    assert scores == pytest.approx([0, 0, 2, 2], abs=1e-5)


def test_influence_of_a_right_angle_is_one(tiny_dit):
    half = tiny_dit.config.hidden_size // 2
    for block in tiny_dit.blocks:
        block.forward = lambda x, c: torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    assert block_changes(_request(tiny_dit), turn)["blocks"] == pytest.approx([1] * 4, abs=1e-5)


def test_influence_keeps_the_blocks_that_turn_most(tiny_dit):
    for block, factor in zip(tiny_dit.blocks, (1.0, -1.0, 2.0, -2.0), strict=True):
        _scale_stream(block, factor)
    assert CRITERIA.get("influence")(_request(tiny_dit)).kept == {"blocks": (1, 3)}


def test_influence_leaves_no_hook_behind(tiny_dit):
    block_changes(_request(tiny_dit), turn)
    assert not any(block._forward_hooks for block in tiny_dit.blocks)


def test_oracle_is_the_published_choice_for_28_blocks():
    assert oracle_indices(28) == (0, 2, 4, 6, 8, 10, 12, 15, 17, 19, 21, 23, 25, 27)
    assert oracle_indices(12) == (0, 2, 4, 7, 9, 11)


def test_oracle_refuses_anything_but_half(tiny_dit):
    with pytest.raises(BadRequest, match="--keep 2"):
        CRITERIA.get("oracle")(_request(tiny_dit, keep=3))


def test_random_is_a_function_of_its_seed_and_reaches_every_block(build_tiny_dit):
    choose, model = CRITERIA.get("random"), build_tiny_dit(depth=6)
    assert choose(_request(model, seed=4)) == choose(_request(model, seed=4))
    choices = {choose(_request(model, seed=seed)).kept["blocks"] for seed in range(60)}
    assert len(choices) > 5
    assert {block for choice in choices for block in choice} == set(range(6))


def test_indices_are_taken_as_given(tiny_dit):
    assert CRITERIA.get("indices")(_request(tiny_dit, indices=[3, 0])).kept == {"blocks": (0, 3)}
    with pytest.raises(BadRequest, match="--indices"):
        CRITERIA.get("indices")(_request(tiny_dit))
    with pytest.raises(BadRequest, match="keep=2 asks for"):
        CRITERIA.get("indices")(_request(tiny_dit, indices=[3, 0, 1]))


def test_of_equal_scores_the_earlier_block_stays(build_tiny_dit):
    request = _request(build_tiny_dit(depth=3))
    assert keep_highest(request, {"blocks": [1.0, 2.0, 1.0]}).kept == {"blocks": (0, 1)}


def test_protected_blocks_stay_whatever_their_score(build_tiny_dit):
    request = _request(build_tiny_dit(depth=3), protected={"blocks": (2,)})
    assert keep_highest(request, {"blocks": [1.0, 2.0, 0.0]}).kept == {"blocks": (1, 2)}


def test_a_score_that_is_no_number_is_refused(build_tiny_dit):
    with pytest.raises(BadRequest, match="block 1 of 'blocks'"):
        keep_highest(_request(build_tiny_dit(depth=3)), {"blocks": [1.0, float("nan"), 0.0]})
