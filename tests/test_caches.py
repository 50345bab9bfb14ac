"""Caches over denoising steps: what they leave out, that they are exact where they must be, and that nothing stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tinylab.diffusion import objective_for
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.sampling.caches import CacheSpec, cached, check_cache, parse_cache
from tinylab.sampling.generate import Settings, generate

STEPS = 5


def drawn(model: Denoiser, cache: str = "none", sampler: str = "auto", guidance: float = 2.0, count: int = 3) -> Tensor:
    settings = Settings(sampler, steps=STEPS, guidance=guidance)
    with cached(model, parse_cache(cache)):
        return generate(model, objective_for(model), torch.arange(count), settings)


def calls(model: Denoiser, cache: str, **settings) -> list[int]:
    """How often each block of a drawing computes: its attention tells, also where hooks stand before the block."""
    found = [0] * len(model.blocks)

    def count(index: int) -> Callable:
        def hook(*_: object) -> None:
            found[index] += 1

        return hook

    handles = [block.attn.register_forward_hook(count(i)) for i, block in enumerate(model.blocks)]
    drawn(model, cache, **settings)
    for handle in handles:
        handle.remove()
    return found


@pytest.fixture(params=["dit", "sit"])
def model(request: pytest.FixtureRequest, build_tiny: Callable[..., Denoiser]) -> Denoiser:
    return build_tiny(request.param, depth=5)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
@pytest.mark.parametrize("cache", ["interval:1", "first-block:0"])
def test_a_cache_that_leaves_out_nothing_changes_no_bit(model: Denoiser, cache: str, guidance: float) -> None:
    assert torch.equal(drawn(model, cache, guidance=guidance), drawn(model, guidance=guidance))
    assert calls(model, cache) == [STEPS] * 5


@pytest.mark.parametrize(("interval", "whole"), [(2, 3), (3, 2), (5, 1), (99, 1)])
def test_the_interval_runs_middle_blocks_now_and_then(model: Denoiser, interval: int, whole: int) -> None:
    assert calls(model, f"interval:{interval}") == [STEPS, whole, whole, whole, STEPS]


def test_every_look_of_a_step_counts(build_tiny: Callable[..., Denoiser]) -> None:
    sit = build_tiny("sit", depth=4)
    assert calls(sit, "interval:2", sampler="heun") == [2 * STEPS, STEPS, STEPS, 2 * STEPS]


def test_the_first_block_decides_for_the_others(model: Denoiser) -> None:
    assert calls(model, "first-block:1000000") == [STEPS, 1, 1, 1, 1]
    few, many = (sum(calls(model, f"first-block:{threshold}")) for threshold in (0.9, 0.05))
    assert 5 + 4 <= few <= many <= 5 * STEPS


@torch.no_grad()
def test_the_interval_adds_what_the_middle_blocks_added(build_tiny: Callable[..., Denoiser]) -> None:
    """Against the same written out by hand, look by look."""
    model = build_tiny("dit", depth=4)
    x, y = torch.randn(2, 2, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([3, 10])
    times = torch.tensor([[900], [850]])

    def by_hand(look: int, added: Tensor | None) -> tuple[Tensor, Tensor]:
        c = model.t_embedder(times[look]) + model.y_embedder(y)
        first = model.blocks[0](model.x_embedder(x[look]) + model.pos_embed, c)
        middle = model.blocks[2](model.blocks[1](first, c), c) if added is None else first + added
        return model._unpatchify(model.final_layer(model.blocks[3](middle, c), c)), middle - first

    one, added = by_hand(0, None)
    two, _ = by_hand(1, added)
    with cached(model, CacheSpec("interval", 2)):
        assert torch.equal(model(x[0], times[0], y), one)
        assert torch.equal(model(x[1], times[1], y), two)
    assert not torch.allclose(model(x[1], times[1], y), two)


@pytest.mark.parametrize("cache", ["interval:2", "first-block:1000000"])
def test_nothing_stays_and_every_drawing_begins_anew(model: Denoiser, cache: str) -> None:
    plain, keys = drawn(model), [set(vars(block)) for block in model.blocks]
    once = drawn(model, cache)
    assert [set(vars(block)) for block in model.blocks] == keys
    assert not torch.equal(once, plain)
    assert torch.equal(drawn(model), plain)
    drawn(model, cache, count=2)
    assert torch.equal(drawn(model, cache), once)


@pytest.mark.parametrize("cache", ["interval:2", "first-block:0.1"])
def test_a_drawing_that_fails_leaves_the_model_as_it_was(model: Denoiser, cache: str) -> None:
    keys = [set(vars(block)) for block in model.blocks]
    with pytest.raises(ZeroDivisionError), cached(model, parse_cache(cache)):
        raise ZeroDivisionError
    assert [set(vars(block)) for block in model.blocks] == keys


def test_blocks_with_a_forward_of_their_own_keep_it(model: Denoiser) -> None:
    own = model.blocks[1].forward
    model.blocks[1].forward = own
    drawn(model, "interval:2")
    assert vars(model.blocks[1])["forward"] is own


def test_another_batch_in_the_same_context_is_refused(model: Denoiser) -> None:
    x, t = torch.randn(3, 1, 8, 8), torch.zeros(1)
    with pytest.raises(ValueError, match="context of its own"), cached(model, CacheSpec("interval", 2)):
        model(x, t, torch.arange(3))
        model(x[:1], t, torch.arange(1))


@pytest.mark.parametrize("text", ["interval:2", "first-block:0.08", "first-block:0"])
def test_specs_read_back(text: str) -> None:
    spec = parse_cache(text)
    assert spec is not None and str(spec) == text


def test_none_is_no_cache(model: Denoiser) -> None:
    assert parse_cache("none") is None
    assert calls(model, "none") == [STEPS] * 5


@pytest.mark.parametrize(
    "text", ["", "interval", "interval:0", "interval:1.5", "interval:x", "first-block:-1", "first-block:nan", "lru:2"]
)
def test_bad_specs_are_refused_with_the_forms(text: str) -> None:
    with pytest.raises(BadRequest, match="interval:K"):
        parse_cache(text)


def test_models_that_no_cache_fits_are_refused(build_tiny: Callable[..., Denoiser]) -> None:
    with pytest.raises(BadRequest, match="number of tokens"), cached(build_tiny("mar"), CacheSpec("interval", 2)):
        pass
    with pytest.raises(BadRequest, match="deeper"):
        check_cache(CacheSpec("interval", 2), "dit", {"blocks": 2})


def test_parsing_needs_no_torch() -> None:
    script = (
        "import sys; from tinylab.sampling.caches import parse_cache; parse_cache('interval:2'); print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "diffusers"} & {*found.stdout.split()}
