"""Learned masks: the published numbers, and what must hold for any mask."""

from __future__ import annotations

import math

import pytest
import torch
from golden_values import load_golden, relative_error

from tinylab.models.networks.dit import DiT
from tinylab.pruning.depth_mask import DepthMask, MaskGroup, gumbel_noise
from tinylab.pruning.gates import WAYS, gated
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan

DEPTH = {"blocks": 4}


def _batch(count: int = 3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 1, 8, 8, generator=generator)
    return x, torch.arange(count) * 100, torch.arange(count)


@pytest.mark.parametrize("way", WAYS)
def test_forward_and_gradients_equal_the_published_code(way):
    golden = load_golden("gates")
    model = DiT(**golden.config).eval()
    model.load_state_dict(golden.part("model"))
    inputs, outputs = golden.part("input"), golden.part("output")
    groups = []
    for index in range(3):
        group = MaskGroup(inputs[f"options.{index}"].tolist(), scaling=float(golden.metadata["scaling"]))
        group.logits.data.copy_(inputs[f"logits.{index}"])
        groups.append(group)
    tau = float(golden.metadata["tau"])
    mask = torch.cat([g.draw(inputs[f"gumbel.{i}"], tau)[0] for i, g in enumerate(groups)], dim=1)
    with gated(model, {"blocks": mask}, way=way, share=1.0, generator=torch.Generator()):
        out = model(inputs["x"], inputs["t"], inputs["y"])
    assert relative_error(out, outputs["forward"]) < 1e-5
    (out * torch.cat([inputs["noise"]] * 2, dim=1)).mean().backward()
    parameters = dict(model.named_parameters()) | {f"logits.{i}": g.logits for i, g in enumerate(groups)}
    checked = 0
    for name, wanted in outputs.items():
        if name.startswith("grad."):
            found = parameters[name.removeprefix("grad.")].grad
            if wanted.norm() == 0:  # a block that every sample skips
                assert found is None or found.norm() == 0
            else:
                assert relative_error(found, wanted) < 1e-4, name
            checked += 1
    assert checked > 10


def test_drawn_masks_keep_exactly_n_of_every_m():
    mask = DepthMask(Layout.parse("2:4", {"blocks": 12}))
    drawn = mask.draw(50, tau=1.0, generator=torch.Generator().manual_seed(0)).masks["blocks"].detach()
    assert drawn.shape == (50, 12)
    assert set(drawn.round(decimals=5).unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(drawn.view(50, 3, 4).sum(dim=2), torch.full((50, 3), 2.0))


def test_draws_follow_the_softmax_of_the_scaled_logits():
    group = MaskGroup([[1, 0], [0, 1]], scaling=100.0)
    group.logits.data.copy_(torch.tensor([[0.01, 0.0]]))
    noise = gumbel_noise((20_000, 2), torch.Generator().manual_seed(0))
    share = group.draw(noise, tau=0.3)[0].detach()[:, 0].mean().item()
    assert share == pytest.approx(1 / (1 + math.exp(-1)), abs=0.01)
    assert group.probabilities()[0].item() == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)


def test_a_new_mask_keeps_every_block_with_the_same_probability():
    keep = DepthMask(Layout.parse("2:3", {"blocks": 6})).keep_probabilities()["blocks"]
    assert torch.allclose(keep, torch.full((6,), 2 / 3))


def test_the_decision_is_the_most_probable_option_of_every_group():
    mask = DepthMask(Layout.parse("1:2", DEPTH))
    mask.groups["blocks"][0].logits.data[0, 1] += 1
    assert mask.decision() == {"blocks": (1, 2)}


def test_a_gated_model_equals_the_model_cut_by_that_mask(tiny_dit):
    kept = (0, 3)
    mask = torch.zeros(3, 4)
    mask[:, list(kept)] = 1
    with torch.no_grad(), gated(tiny_dit, {"blocks": mask}):
        gated_out = tiny_dit(*_batch())
    shallow = apply_plan(tiny_dit, DepthPlan.of(kept, DEPTH, "indices"))
    with torch.no_grad():
        assert torch.allclose(gated_out, shallow(*_batch()), atol=1e-6)


def test_every_sample_has_a_mask_of_its_own(tiny_dit):
    mask = torch.tensor([[1.0, 1, 1, 1], [1, 0, 1, 0], [0, 0, 1, 1]])
    with torch.no_grad():
        with gated(tiny_dit, {"blocks": mask}):
            together = tiny_dit(*_batch())
        for i in range(3):
            x, t, y = (v[i : i + 1] for v in _batch())
            with gated(tiny_dit, {"blocks": mask[i : i + 1]}):
                assert torch.allclose(tiny_dit(x, t, y), together[i : i + 1], atol=1e-5)


def test_gates_are_gone_after_the_block_even_when_it_fails(tiny_dit):
    before = tiny_dit(*_batch())
    with pytest.raises(RuntimeError), gated(tiny_dit, {"blocks": torch.zeros(3, 4)}):
        raise RuntimeError("in the middle")
    assert torch.equal(tiny_dit(*_batch()), before)
    assert all("forward" not in vars(block) for block in tiny_dit.blocks)


def test_logits_stay_in_fp32_and_all_get_a_gradient():
    mask = DepthMask(Layout.parse("2:4", DEPTH))
    drawn = mask.draw(8, tau=1.0, generator=torch.Generator().manual_seed(0)).masks["blocks"]
    (drawn * torch.arange(4.0)).sum().backward()
    (group,) = mask.groups["blocks"]
    assert group.logits.dtype == torch.float32
    assert (group.logits.grad != 0).all()
