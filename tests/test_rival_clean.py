"""The published ShortGPT scoring: what each objective shows the model, and that other blocks come out of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from adding_blocks import request
from tiny_transformers import TINY_TRANSFORMERS, build, inputs
from torch import Tensor, nn

from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.diffusion.flow import FlowMatching
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.models.adapters import adapt
from tinylab.pruning.criteria import CRITERIA

SHAPE = (1, 8, 8)


class Witness(nn.Module):
    """Remembers what it was shown."""

    def forward(self, x: Tensor, t: Tensor, y: Any) -> Tensor:
        self.x, self.t, self.y = x, t, y
        return x


def shown(objective: Any, count: int) -> tuple[Witness, Tensor, Any]:
    """The witness of one clean pass, the images and the draw."""
    (draw, *_), witness = objective.evaluation_draws(count, SHAPE, torch.Generator().manual_seed(0)), Witness()
    x, y = load_digits()[0].take(torch.arange(len(draw)))
    objective.clean_forward(witness, x, y, draw)
    assert torch.equal(witness.x, x) and torch.equal(witness.y, y)
    return witness, x, draw


def test_a_chain_shows_clean_images_at_every_bare_step_of_250_equally_often() -> None:
    witness, _, _ = shown(GaussianDiffusion(), 500)
    assert torch.equal(torch.bincount(witness.t, minlength=250), torch.full((250,), 2))


def test_a_respaced_chain_tells_the_same_steps() -> None:
    witness, _, draw = shown(GaussianDiffusion().respaced(10), 10)
    assert torch.equal(witness.t, draw.t * 25)


def test_a_path_shows_clean_images_at_times_between_noise_and_data() -> None:
    witness, _, draw = shown(FlowMatching(), 100)
    assert torch.equal(witness.t, draw.t)
    assert torch.equal((witness.t * 100).long().sort().values, torch.arange(100))


def test_masked_tokens_are_all_shown(build_tiny: Callable[..., Any]) -> None:
    model = build_tiny("mar")
    objective = objective_for(model)
    (draw,) = objective.evaluation_draws(4, SHAPE, torch.Generator().manual_seed(0))
    x, y = load_digits()[0].take(torch.arange(4))
    lengths = []
    hook = model.encoder_blocks[0].register_forward_hook(lambda block, args, out: lengths.append(out.shape[1]))
    with torch.no_grad():
        said = objective.clean_forward(model, x, y, draw)
        again = model(model.patchify(x), torch.zeros(4, 16), y)
    hook.remove()
    assert torch.equal(said, again)
    assert lengths == [2 + 16] * 2  # the buffer and all tokens
    assert draw.mask is not None and draw.mask.sum() > 0


@pytest.mark.parametrize("name", ["DiTTransformer2DModel", "SD3Transformer2DModel"])
def test_a_transformer_of_diffusers_is_shown_clean_latents_too(name: str) -> None:
    model = adapt(build(name)).eval()
    objective = objective_for(model)
    spec, given = TINY_TRANSFORMERS[name], inputs(name, 2)
    x = given.pop(spec.x)
    given.pop(spec.t)
    seen: dict[str, Any] = {}
    hook = model.register_forward_pre_hook(lambda module, args, kwargs: seen.update(kwargs), with_kwargs=True)
    (draw,) = objective.evaluation_draws(2, tuple(x.shape[1:]), torch.Generator().manual_seed(0))
    with torch.no_grad():
        objective.clean_forward(model, x, given, draw)
    hook.remove()
    assert torch.equal(seen[spec.x], x)
    told = draw.t * 250 // 1000 if name.startswith("DiT") else 1000 * (1 - draw.t)
    assert torch.allclose(seen[spec.t].double(), told.double())


class Turn(nn.Module):
    """Turns the hidden state (N, 1, 2) by an angle for the samples that are `on`."""

    def __init__(self, angle: float) -> None:
        super().__init__()
        self.angle = nn.Parameter(torch.tensor(angle))

    def forward(self, h: Tensor, on: Tensor) -> Tensor:
        sine, cosine = self.angle.sin(), self.angle.cos()
        turned = torch.stack([cosine * h[..., 0] - sine * h[..., 1], sine * h[..., 0] + cosine * h[..., 1]], dim=-1)
        return torch.where(on.view(-1, 1, 1), turned, h)


class LateOrClean(nn.Module):
    """Its first block turns by 90° at times from 250 on, its second by 60° where the image has no noise."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Turn(math.pi / 2), Turn(math.pi / 3)])

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        return {"blocks": self.blocks}

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        h = torch.tensor([1.0, 0.0]).expand(len(x), 1, 2)
        h = self.blocks[0](h, t >= 250)
        return self.blocks[1](h, x.flatten(1).abs().amax(dim=1) <= 1)


def test_clean_latents_and_raw_times_choose_other_blocks_than_noised_ones() -> None:
    """Of eight times spread evenly over 1000, six are 250 or later: 6/8 (1 - cos 90°). Clean: 1 - cos 60°."""
    proper, published = (
        CRITERIA.get(name)(request(LateOrClean(), 1, samples=8)) for name in ("influence", "influence-clean")
    )
    assert proper.scores is not None and published.scores is not None
    assert proper.scores["blocks"] == pytest.approx([0.75, 0], abs=1e-6)
    assert published.scores["blocks"] == pytest.approx([0, 0.5], abs=1e-6)
    assert (proper.kept, published.kept) == ({"blocks": (0,)}, {"blocks": (1,)})
