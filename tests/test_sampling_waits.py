"""Samplers do no avoidable work: one pass a step, nothing asked of a GPU, what stays the same embedded once."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from operations import WAITS, Operations

from tinylab.diffusion import objective_for
from tinylab.sampling import SAMPLERS
from tinylab.sampling.generate import Settings, generate

LABELS = torch.tensor([3, 1, 4, 1, 5])
LOOKS = {"heun": 2}  # of a step at the model
CASES = [(family, row.name) for row in SAMPLERS.rows() for family in row.families]


def drawn(model, sampler, steps, guidance=1.5):
    return generate(model, objective_for(model), LABELS, Settings(sampler, steps, guidance))


@pytest.mark.parametrize(("family", "sampler"), CASES)
def test_no_step_asks_a_tensor_for_its_value(build_tiny, family, sampler):
    model = build_tiny(family)
    found = []
    for steps in (2, 4):
        with Operations() as seen:
            drawn(model, sampler, steps)
        found.append(Counter(name for name in seen.names if name in WAITS))
        assert len(seen.names) > 100
    assert found[0] == found[1]  # whatever is asked once at the start, no step adds to it


@pytest.mark.parametrize(("family", "sampler"), [case for case in CASES if case[0] != "mar"])
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_a_step_runs_the_network_once_for_all_and_embeds_one_time(build_tiny, family, sampler, guidance):
    model = build_tiny(family)
    images, times = [], []
    model.blocks[0].register_forward_pre_hook(lambda block, given: images.append(len(given[0])))
    model.t_embedder.register_forward_pre_hook(lambda embedder, given: times.append(len(given[0])))
    drawn(model, sampler, 3, guidance)
    looks = 3 * LOOKS.get(sampler, 1)
    assert images == [len(LABELS) * (2 if guidance != 1 else 1)] * looks
    assert times == [1] * looks


def test_a_head_embeds_the_condition_of_its_tokens_once(build_tiny):
    model = build_tiny("mar")
    calls = Counter()
    model.head.cond_embed.register_forward_pre_hook(lambda *_: calls.update(["condition"]))
    model.head.final_layer.register_forward_pre_hook(lambda *_: calls.update(["look"]))
    drawn(model, "masked", 3)
    assert calls == {"condition": 3, "look": 3 * model.head_steps}


@pytest.mark.parametrize("family", ["dit", "sit"])
def test_one_time_for_all_is_that_time_for_each(build_tiny, family):
    model = build_tiny(family)
    x, y = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 2, 10])
    with torch.no_grad():
        one, each = (model(x, torch.tensor([0.5]).expand(count), y) for count in (1, 3))
    assert torch.allclose(one, each, atol=1e-6)


@pytest.mark.parametrize("family", ["dit", "sit"])
def test_guided_is_the_first_half_of_the_published_guidance(build_tiny, family):
    model = build_tiny(family, in_channels=4)
    x, t = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1, 0.5, 0.9])
    y = torch.tensor([1, 2, 3, 10, 10, 10])
    with torch.no_grad():
        published = model.forward_with_cfg(torch.cat([x, x]), torch.cat([t, t]), y, 2.0)
        assert torch.equal(model.guided(x, t, y, 2.0), published[:3])


def test_a_mar_that_is_told_how_many_tokens_are_hidden_says_the_same(build_tiny):
    model = build_tiny("mar")
    generator = torch.Generator().manual_seed(0)
    values = model.z_proj.in_features
    tokens = torch.randn(3, model.num_tokens, values, generator=generator)
    mask = (torch.rand(3, model.num_tokens, generator=generator).argsort(dim=1) < 5).float()
    y = torch.tensor([0, 1, 10])
    with torch.no_grad():
        assert torch.equal(model(tokens, mask, y, 5), model(tokens, mask, y))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("family", "sampler"), CASES)
def test_a_gpu_is_never_waited_for_between_steps(build_tiny, family, sampler):
    model = build_tiny(family).cuda()
    drawn(model, sampler, 2)  # libraries that load at the first call wait, too
    waiting = []

    def watch(step):
        waiting.append(step)
        torch.cuda.set_sync_debug_mode("error" if step < 4 else "default")

    try:
        generate(model, objective_for(model), LABELS, Settings(sampler, 4), on_step=watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert waiting == [1, 2, 3, 4]
