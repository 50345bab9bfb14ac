"""Gates wait for the device once, at the draw: nothing in the blocks asks a tensor for its values."""

from __future__ import annotations

import pytest
import torch
from operations import WAITS, Operations
from skip_cases import draw_masks

from tinylab.pruning.gates import WAYS, gated


def _run(model, way, masks, x):
    with gated(model, masks, way=way, generator=torch.Generator()):
        out = model(x, torch.arange(len(x), device=x.device), torch.arange(len(x), device=x.device))
    out.square().mean().backward()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["dit", "sit"])
def test_no_operation_between_draw_and_backward_asks_for_a_value(build_tiny, family, way):
    model = build_tiny(family)
    _, masks = draw_masks(model, "1:2", 5)
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with Operations() as seen:
        _run(model, way, masks, x)
    assert len(seen.names) > 100 and not WAITS & set(seen.names)
    if way != "dense":
        assert seen.names.count("index_copy_") >= 8


def test_the_watch_sees_what_it_forbids():
    with Operations() as seen:
        bool(torch.ones(3).nonzero().sum() > 0)
    assert {"nonzero", "_local_scalar_dense"} <= set(seen.names)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("way", WAYS)
def test_a_gpu_is_waited_for_once(tiny_dit, way):
    model = tiny_dit.cuda()
    _, masks = draw_masks(model, "1:2", 5)
    masks = {stack: mask.cuda() for stack, mask in masks.items()}
    x = torch.randn(5, 1, 8, 8, device="cuda")
    _run(model, way, masks, x)  # libraries that load at the first call wait, too
    with gated(model, masks, way=way, generator=torch.Generator()):
        t = torch.arange(5, device="cuda")
        torch.cuda.set_sync_debug_mode("error")
        try:
            model(x, t, t).square().mean().backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
