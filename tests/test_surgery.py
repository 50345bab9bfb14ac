"""Cutting a model."""

from __future__ import annotations

import pytest
import torch

from tinylab.errors import BadRequest
from tinylab.models.load import load_model, save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan


def _plan(indices, depth=4):
    return DepthPlan.of(indices, {"blocks": depth}, "indices")


def test_the_kept_blocks_keep_their_weights_and_order(tiny_dit):
    shallow = apply_plan(tiny_dit, _plan([3, 1]))
    assert len(shallow.blocks) == 2
    for new, old in zip(shallow.blocks, (tiny_dit.blocks[1], tiny_dit.blocks[3]), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(new.parameters(), old.parameters(), strict=True))


def test_keeping_everything_changes_nothing(tiny_dit):
    x, t, y = torch.randn(2, 1, 8, 8), torch.tensor([5, 900]), torch.tensor([1, 2])
    assert torch.equal(apply_plan(tiny_dit, _plan(range(4)))(x, t, y), tiny_dit(x, t, y))


def test_the_cut_model_is_a_copy(tiny_dit):
    shallow = apply_plan(tiny_dit, _plan([0, 1]))
    shallow.blocks[0].mlp.fc1.weight.data.zero_()
    assert tiny_dit.blocks[0].mlp.fc1.weight.any()


def test_it_saves_loads_and_remembers_what_it_was_cut_from(tiny_dit, tmp_path):
    shallow = apply_plan(tiny_dit, _plan([0, 2, 3]))
    save_model(shallow, tmp_path / "shallow", card="")
    loaded = load_model(str(tmp_path / "shallow"))
    x, t, y = torch.randn(2, 1, 8, 8), torch.tensor([5, 900]), torch.tensor([1, 2])
    assert torch.equal(loaded(x, t, y), shallow(x, t, y))
    assert loaded.config.kept == {"blocks": [0, 2, 3]}
    assert loaded.config.full_depth == {"blocks": 4}


def test_a_second_cut_still_names_the_blocks_of_the_first_model(tiny_dit):
    once = apply_plan(tiny_dit, _plan([0, 2, 3]))
    twice = apply_plan(once, _plan([1, 2], depth=3))
    assert twice.config.kept == {"blocks": [2, 3]}
    assert twice.config.full_depth == {"blocks": 4}


def test_only_fixed_positions_stay_fixed(tiny_dit):
    shallow = apply_plan(tiny_dit, _plan([0]))
    assert [n for n, p in shallow.named_parameters() if not p.requires_grad] == ["pos_embed"]


def test_a_plan_for_another_depth_is_refused(tiny_dit):
    with pytest.raises(BadRequest, match="the plan is for 12 blocks"):
        apply_plan(tiny_dit, _plan([0], depth=12))
