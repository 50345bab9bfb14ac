"""MAR: masks, what the network sees of them, its loss, and sampling a few tokens at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch

from tinylab.diffusion import objective_for
from tinylab.diffusion.masked import MaskedDiffusion, _hidden_share
from tinylab.models.networks.mar import MAR
from tinylab.sampling.generate import Settings, generate, steps_taken
from tinylab.sampling.masked import hidden_after

SHAPE = (1, 8, 8)


@pytest.fixture
def mar(build_tiny: Callable[..., Any]) -> MAR:
    return cast(MAR, build_tiny("mar"))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_patches_are_put_back_where_they_were(mar: MAR) -> None:
    x = torch.randn(3, *SHAPE)
    assert mar.patchify(x).shape == (3, 16, 4)
    assert torch.equal(mar.unpatchify(mar.patchify(x)), x)


def test_hidden_tokens_cannot_be_seen(mar: MAR) -> None:
    draw = MaskedDiffusion(2, 2).draw(4, SHAPE, generator())
    assert draw.mask is not None
    x, y = torch.randn(4, 16, 4), torch.arange(4)
    other = torch.where(draw.mask.bool().unsqueeze(-1), torch.randn(4, 16, 4), x)
    with torch.no_grad():
        assert torch.equal(mar(x, draw.mask, y), mar(other, draw.mask, y))
        seen = x + (1 - draw.mask).unsqueeze(-1)
        assert not torch.allclose(mar(x, draw.mask, y), mar(seen, draw.mask, y))


def test_every_image_of_a_step_hides_as_many_tokens(mar: MAR) -> None:
    objective = MaskedDiffusion(2, 2)
    counts = set()
    for seed in range(30):
        mask = objective.draw(5, SHAPE, generator(seed)).mask
        assert mask is not None and len(set(mask.sum(dim=1).tolist())) == 1
        counts.add(int(mask[0].sum()))
    assert min(counts) >= 12 and max(counts) == 16  # 70% of 16 tokens, rounded up, to all


def test_hidden_shares_follow_half_a_gaussian_around_one() -> None:
    shares = torch.tensor([_hidden_share((i + 0.5) / 4000) for i in range(4000)])
    drawn = 1 + 0.25 * torch.randn(200_000, generator=generator())
    drawn = drawn[(drawn >= 0.7) & (drawn <= 1)]
    assert shares.min() >= 0.7 and shares.max() <= 1
    assert shares.mean().item() == pytest.approx(drawn.mean().item(), abs=2e-3)
    assert shares.std().item() == pytest.approx(drawn.std().item(), abs=2e-3)


def test_loss_is_the_mean_over_hidden_tokens_and_copies(mar: MAR) -> None:
    objective = cast(MaskedDiffusion, objective_for(mar))
    x, y = torch.randn(3, *SHAPE), torch.arange(3)
    draw = objective.draw(3, SHAPE, generator())
    assert draw.mask is not None
    with torch.no_grad():
        found = objective.losses(mar, x, y, draw)
        z, tokens = mar(mar.patchify(x), draw.mask, y), mar.patchify(x)
        by_hand = torch.zeros(3)
        for image in range(3):
            for token in draw.mask[image].nonzero().flatten():
                for copy in range(objective.copies):
                    t = draw.t[image, copy, token].view(1)
                    noise = draw.noise[image, copy, token].view(1, -1)
                    noised = objective.chain.q_sample(tokens[image, token].view(1, -1), t, noise)
                    out = mar.head(noised, t, z[image, token].view(1, -1))
                    by_hand[image] += (out[:, :4] - noise).square().mean()
        by_hand /= draw.mask[0].sum() * objective.copies
    assert torch.allclose(found.mse, by_hand, rtol=1e-4)
    assert torch.allclose(found.loss, found.mse + found.vb)


def test_null_class_is_the_one_of_guidance(mar: MAR) -> None:
    x, mask = torch.randn(2, 16, 4), torch.cat([torch.ones(2, 12), torch.zeros(2, 4)], dim=1)
    with torch.no_grad():
        before = mar(x, mask, torch.tensor([10, 3]))
        mar.fake_latent += torch.randn(16)
        after = mar(x, mask, torch.tensor([10, 3]))
    assert not torch.allclose(before[0], after[0]) and torch.equal(before[1], after[1])


@pytest.mark.parametrize(("rounds", "total"), [(1, 16), (2, 16), (7, 16), (16, 16), (64, 256)])
def test_every_round_draws_a_token_and_the_last_one_leaves_none(rounds: int, total: int) -> None:
    hidden = [total]
    for index in range(rounds):
        hidden.append(hidden_after(index, rounds, total, hidden[-1]))
    assert hidden[-1] == 0
    assert all(after < before for before, after in zip(hidden, hidden[1:], strict=False))


def test_tokens_once_drawn_stay(mar: MAR) -> None:
    objective, labels = objective_for(mar), torch.arange(3)
    seen: list[int] = []
    images = generate(mar, objective, labels, Settings(steps=99, guidance=2.0), on_step=seen.append)
    assert images.shape == (3, *SHAPE)
    assert len(seen) == steps_taken(mar, 99) == 16
    assert images.isfinite().all() and (images != 0).all()


@pytest.mark.parametrize(("schedule", "temperature"), [("constant", 1.0), ("linear", 0.5)])
def test_schedule_and_temperature_change_what_is_drawn(mar: MAR, schedule: Any, temperature: float) -> None:
    objective, labels = objective_for(mar), torch.arange(3)
    plain = generate(mar, objective, labels, Settings(steps=4, guidance=3.0))
    other = generate(
        mar, objective, labels, Settings(steps=4, guidance=3.0, schedule=schedule, temperature=temperature)
    )
    assert not torch.allclose(plain, other)


def test_values_are_cut_to_what_a_pixel_can_be(build_tiny: Callable[..., Any]) -> None:
    model = build_tiny("mar", clip_value=1.0)
    images = generate(model, objective_for(model), torch.arange(4), Settings(steps=4))
    assert images.abs().max() <= 1
