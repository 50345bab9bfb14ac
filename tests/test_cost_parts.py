"""What the parts of a model cost, and how much memory work takes, against closed forms."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tinylab.diffusion import objective_for
from tinylab.metrics.cost import count_flops, count_parameters
from tinylab.metrics.memory import peak_bytes
from tinylab.metrics.parts import PARTS, Shares, macs_by_part, parameters_by_part, parts_of, seconds_by_part
from tinylab.models.base import Denoiser
from tinylab.sampling.generate import Settings, generate

CPU, FLOAT = torch.device("cpu"), 4
WIDTH, TOKENS, DEPTH = 16, 16, 4  # of the tiny models


def drawing(model: Denoiser, count: int = 1, **settings: object) -> Callable[[], object]:
    asked = Settings(**{"steps": 1, "guidance": 1.0, **settings})  # type: ignore[arg-type]
    return lambda: generate(model, objective_for(model), torch.arange(count) % 10, asked)


@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
def test_parts_hold_every_weight_once(family: str, build_tiny: Callable[..., Denoiser]) -> None:
    model = build_tiny(family)
    found = parameters_by_part(model)
    assert list(found) == [*PARTS, "total"]
    assert sum(found[part] for part in PARTS) == found["total"] == count_parameters(model)
    assert found["blocks"] == sum(count_parameters(stack) for stack in model.block_stacks().values())
    assert found["head"] == count_parameters(model.diffloss if family == "mar" else model.final_layer)
    parts = parts_of(model)
    assert list(parts.stacks) == list(model.block_stacks())
    assert parts.embedders and not any(isinstance(module, nn.ModuleList) for module in parts.embedders)


def test_macs_of_a_dit_in_closed_form(build_tiny: Callable[..., Denoiser]) -> None:
    model = build_tiny("dit")
    found = macs_by_part(model, drawing(model))
    products = TOKENS * WIDTH * (3 + 1 + 4 + 4) * WIDTH  # query, key, value, projection, and the MLP
    attention = 2 * TOKENS * TOKENS * WIDTH
    assert found["blocks"] == DEPTH * (products + attention + 6 * WIDTH * WIDTH)
    assert found["head"] == 2 * WIDTH * WIDTH + TOKENS * WIDTH * (2 * 2 * 2)
    assert found["embedders"] == TOKENS * (2 * 2) * WIDTH + 256 * WIDTH + WIDTH * WIDTH
    assert found["total"] == sum(found[part] for part in PARTS)


@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
def test_macs_are_half_of_the_operations_and_grow_with_guidance(
    family: str, build_tiny: Callable[..., Denoiser]
) -> None:
    model = build_tiny(family)
    plain, guided = (macs_by_part(model, drawing(model, guidance=guidance)) for guidance in (1.0, 2.0))
    assert plain["total"] * 2 == count_flops(drawing(model))
    assert guided["blocks"] == 2 * plain["blocks"] > 0
    assert guided["head"] > plain["head"] > 0


def test_macs_of_a_mars_head_count_though_the_sampler_calls_its_pieces(build_tiny: Callable[..., Denoiser]) -> None:
    model = build_tiny("mar")
    found = macs_by_part(model, drawing(model, steps=2))
    head = model.head
    tokens, steps = model.num_tokens, model.head_steps
    once = count_flops(lambda: head(torch.zeros(tokens, 4), torch.zeros(tokens), torch.zeros(tokens, WIDTH))) // 2
    condition = count_flops(lambda: head.cond_embed(torch.zeros(tokens, WIDTH))) // 2
    assert 0.3 * steps * once < found["head"] <= steps * once  # what is the same at every step may be computed once
    assert found["head"] > condition
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class _Watch:
    """A clock that modules move on."""

    now = 0.0


def test_times_go_to_the_parts_that_took_them(build_tiny: Callable[..., Denoiser]) -> None:
    model, watch = build_tiny("mar"), _Watch()
    seconds = {"encoder_blocks": 1.0, "decoder_blocks": 2.0, "decoder_embed": 3.0, "diffloss.net.res_blocks": 5.0}

    def slow(module: nn.Module, takes: float) -> None:
        def hook(*_: object) -> None:
            watch.now += takes

        module.register_forward_hook(hook)

    for stack in ("encoder_blocks", "decoder_blocks", "diffloss.net.res_blocks"):
        for block in model.get_submodule(stack):
            slow(block, seconds[stack])
    slow(model.decoder_embed, 3.0)

    def work() -> None:
        drawing(model)()
        watch.now += 8.0  # the sampler's own

    found = seconds_by_part(model, work, clock=lambda: watch.now)
    head = model.head_steps * len(model.head.res_blocks) * 5.0
    total = DEPTH * (1.0 + 2.0) + 3.0 + head + 8.0
    assert found.stacks == {
        "encoder_blocks": pytest.approx(DEPTH * 1.0 / total),
        "decoder_blocks": pytest.approx(DEPTH * 2.0 / total),
    }
    wanted = (DEPTH * 3.0 / total, 3.0 / total, head / total, 8.0 / total)
    assert (found.blocks, found.embedders, found.head, found.rest) == pytest.approx(wanted)


def test_the_speedup_to_expect_is_amdahls() -> None:
    shares = Shares({"encoder": 0.6, "decoder": 0.3}, embedders=0.04, head=0.05, rest=0.01)
    assert shares.blocks == pytest.approx(0.9)
    assert shares.speedup({"encoder": 1.0, "decoder": 1.0}) == pytest.approx(1)
    assert shares.speedup({"encoder": 0.5, "decoder": 0.5}) == pytest.approx(1 / 0.55)
    assert shares.speedup({"encoder": 0.25, "decoder": 1.0}) == pytest.approx(1 / 0.55)


def test_peak_memory_is_what_lives_at_once() -> None:
    x = torch.randn(100, 10)  # 4000 bytes, there before

    def work() -> torch.Tensor:
        a = x * 2
        b = a + 1  # two alive
        del a
        c = b.view(10, 100).t()[:5] + 1  # a view is no memory; 500 bytes * 4
        return c

    assert peak_bytes(work, CPU) == 2 * 4000
    assert peak_bytes(lambda: x.add_(1), CPU) == peak_bytes(lambda: x.view(-1)[3:], CPU) == 0


@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad])
def test_peak_memory_of_layers_is_that_of_their_outputs(context: Callable) -> None:
    chain, x = nn.Sequential(nn.Linear(10, 50), nn.ReLU(), nn.Linear(50, 5)), torch.randn(20, 10)
    with context():
        found = peak_bytes(lambda: chain(x), CPU, weights=chain.parameters())
    weights = 10 * 50 + 50 + 50 * 5 + 5
    assert found == (weights + 20 * (50 + 50)) * FLOAT  # the second and the third value of the chain


def test_weights_that_are_shared_count_once() -> None:
    weight = torch.randn(7)
    assert peak_bytes(lambda: None, CPU, weights=[weight, weight[2:], torch.randn(3)]) == (7 + 3) * FLOAT


def test_memory_of_a_drawing_grows_with_the_batch(build_tiny: Callable[..., Denoiser]) -> None:
    model = build_tiny("dit")
    one, two, four = (peak_bytes(drawing(model, count), CPU) for count in (20, 40, 80))
    assert one < two < four
    assert four - two == pytest.approx(2 * (two - one), rel=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_peak_memory_on_a_gpu_is_the_allocators() -> None:
    device = torch.device("cuda")
    x = torch.randn(2**20, device=device)
    assert peak_bytes(lambda: (x * 2) + 1, device, weights=[x]) == 3 * 2**22
