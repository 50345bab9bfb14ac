"""Ways of gating in half precision: they agree as far as it goes, and logits keep gradients in fp32."""

from __future__ import annotations

import contextlib

import pytest
import torch
from golden_values import relative_error
from skip_cases import draw_masks

from tinylab.pruning.gates import gated

HALF = 2**-8  # one rounding of bfloat16


def _inputs(count):
    x = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(count) * 50, torch.arange(count)


def _gradients(model, way, form):
    mask, masks = draw_masks(model, "1:2", 8)
    x, t, y = _inputs(8)
    if form == "weights":
        model, x = model.bfloat16(), x.bfloat16()
    half = torch.autocast("cpu", torch.bfloat16) if form == "autocast" else contextlib.nullcontext()
    with half, gated(model, masks, way=way, share=1.0, generator=torch.Generator()):
        out = model(x, t, y)
    model.zero_grad()
    out.float().square().mean().backward()
    (group,) = {p.grad.dtype for p in mask.parameters()}
    assert group == torch.float32
    logits = torch.cat([p.grad.flatten() for p in mask.parameters()])
    weights = torch.cat([p.grad.float().flatten() for p in model.parameters() if p.grad is not None])
    return out.float().detach(), logits, weights


@pytest.mark.parametrize("way", ["exact", "sampled"])
@pytest.mark.parametrize("form", ["weights", "autocast"])
def test_half_precision_agrees_with_the_dense_formula(build_tiny_dit, form, way):
    single = _gradients(build_tiny_dit(), "dense", "single")
    dense = _gradients(build_tiny_dit(), "dense", form)
    ours = _gradients(build_tiny_dit(), way, form)
    for found, wanted, truth in zip(ours, dense, single, strict=True):
        lost = relative_error(wanted, truth)
        assert lost > HALF / 20  # it was half precision indeed
        assert relative_error(found, wanted) < max(4 * HALF, 1.5 * lost)
        assert relative_error(found, truth) < max(4 * HALF, 1.5 * lost)
