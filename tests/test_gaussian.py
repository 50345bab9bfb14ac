"""The DDPM objective against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tinylab.diffusion import objective_for
from tinylab.diffusion.base import Draw
from tinylab.diffusion.gaussian import GaussianDiffusion, _discretised_log_likelihood, _normal_kl
from tinylab.errors import BadRequest
from tinylab.models.networks.dit import DiT

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
PRODUCT = torch.cumprod(1 - BETAS, dim=0)


class Oracle(nn.Module):
    """A model that knows the noise, and says where the variance lies between its bounds (-1 lower, 1 upper)."""

    def __init__(self, noise: Tensor, fraction: float | None) -> None:
        super().__init__()
        self.noise, self.fraction = noise, fraction

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        del t, y
        if self.fraction is None:
            return self.noise
        return torch.cat([self.noise, torch.full_like(x, self.fraction)], dim=1)


@pytest.fixture
def diffusion() -> GaussianDiffusion:
    return GaussianDiffusion()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(2))


T = torch.tensor([0, 1, 10, 250, 500, 999])


def test_q_sample_follows_the_marginal(diffusion: GaussianDiffusion, images: Tensor, noise: Tensor) -> None:
    found = diffusion.q_sample(images, T, noise)
    for row, t in enumerate(T):
        expected = PRODUCT[t].sqrt() * images[row] + (1 - PRODUCT[t]).sqrt() * noise[row]
        assert torch.allclose(found[row], expected, atol=1e-6)


def test_one_noising_step_after_another_gives_the_marginal(diffusion: GaussianDiffusion) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.full((20_000,), 0.8, dtype=torch.float64)
    for beta in BETAS[:301]:
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    assert x.mean().item() == pytest.approx((PRODUCT[300].sqrt() * 0.8).item(), abs=0.03)
    assert x.var().item() == pytest.approx((1 - PRODUCT[300]).item(), rel=0.03)


def test_posterior_mean_follows_bayes(diffusion: GaussianDiffusion, images: Tensor, noise: Tensor) -> None:
    x_t = diffusion.q_sample(images, T, noise).double()
    found = diffusion.posterior_mean(images.double(), x_t, T)
    for row, t in enumerate(T):
        # q(x_{t-1} | x_t, x_0) is the product of two Gaussians in x_{t-1}, added up by their precisions.
        previous = PRODUCT[t - 1] if t > 0 else torch.tensor(1.0, dtype=torch.float64)
        if t == 0:
            assert torch.allclose(found[row], images[row].double(), atol=1e-9)
            continue
        prior, likelihood = 1 / (1 - previous), (1 - BETAS[t]) / BETAS[t]
        mean = prior * previous.sqrt() * images[row] + likelihood * x_t[row] / (1 - BETAS[t]).sqrt()
        assert torch.allclose(found[row], mean / (prior + likelihood), atol=1e-9)


def test_posterior_variance_follows_bayes(diffusion: GaussianDiffusion) -> None:
    prior = 1 / (1 - PRODUCT[:-1])
    likelihood = (1 - BETAS[1:]) / BETAS[1:]
    expected = -(prior + likelihood).log()
    assert torch.allclose(diffusion.log_posterior[1:], expected, atol=1e-9)
    assert diffusion.log_posterior[0] == diffusion.log_posterior[1]


def test_prediction_undoes_the_noising(diffusion: GaussianDiffusion, images: Tensor, noise: Tensor) -> None:
    x_t = diffusion.q_sample(images.double(), T, noise.double())
    guess = diffusion.predict(noise.double(), x_t, T)
    assert torch.allclose(guess.x_start, images.double(), atol=1e-9)
    assert torch.allclose(guess.mean, diffusion.posterior_mean(images.double(), x_t, T), atol=1e-9)


@pytest.mark.parametrize(("fraction", "bound"), [(-1.0, "log_posterior"), (1.0, "log_betas")])
def test_variance_lies_between_its_bounds(
    diffusion: GaussianDiffusion, noise: Tensor, fraction: float, bound: str
) -> None:
    output = torch.cat([noise, torch.full_like(noise, fraction)], dim=1)
    found = diffusion.predict(output, noise, T).log_variance
    expected = getattr(diffusion, bound)[T].float().view(-1, 1, 1, 1).expand_as(noise)
    assert torch.allclose(found, expected)


@pytest.mark.parametrize("count", [1, 2, 3, 20, 50, 250, 999, 1000])
def test_respaced_chain_has_the_marginals_of_its_times(diffusion: GaussianDiffusion, count: int) -> None:
    chain = diffusion.respaced(count)
    assert chain.num_steps == count
    assert chain.timesteps[-1] == 999
    assert count == 1 or chain.timesteps[0] == 0
    assert (chain.timesteps.diff() > 0).all()
    assert torch.allclose(chain.alphas_cumprod, PRODUCT[chain.timesteps], rtol=1e-9)


@pytest.mark.parametrize(("count", "step", "time"), [(21, 10, 499), (23, 11, 499), (43, 35, 833), (61, 10, 167)])
def test_respaced_times_round_as_the_published_code_does(count: int, step: int, time: int) -> None:
    """It adds the stride up, so that these steps fall on the other side of a half than step x stride does."""
    assert GaussianDiffusion().respaced(count).timesteps[step] == time


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_steps_that_the_chain_does_not_have_are_refused(diffusion: GaussianDiffusion, count: int) -> None:
    with pytest.raises(BadRequest, match="chain of 1000"):
        diffusion.respaced(count)


def test_chain_respaced_to_all_its_steps_is_the_chain(diffusion: GaussianDiffusion) -> None:
    chain = diffusion.respaced(1000)
    for name, table in diffusion.named_buffers():
        assert torch.allclose(chain.get_buffer(name), table, rtol=1e-9), name


def test_chain_can_be_respaced_again(diffusion: GaussianDiffusion) -> None:
    chain = diffusion.respaced(500).respaced(5)
    assert torch.allclose(chain.alphas_cumprod, PRODUCT[chain.timesteps], rtol=1e-9)


@pytest.mark.parametrize("count", [1, 2])
def test_step_of_a_short_chain_is_finite(diffusion: GaussianDiffusion, noise: Tensor, count: int) -> None:
    chain = diffusion.respaced(count)
    guess = chain.predict(torch.cat([noise, noise], dim=1), noise, chain.index(count - 1, len(noise)))
    assert guess.mean.isfinite().all()
    assert guess.log_variance.isfinite().all()


def test_perfect_model_has_no_loss(diffusion: GaussianDiffusion, images: Tensor, noise: Tensor) -> None:
    y = torch.zeros(6, dtype=torch.long)
    losses = diffusion.losses(Oracle(noise, fraction=-1.0), images, y, Draw(T, noise))
    assert losses.mse.abs().max() == 0
    assert losses.vb[T > 0].abs().max() < 1e-4  # the KL; at t = 0 stands the likelihood of the pixels
    assert torch.allclose(losses.loss, losses.mse + losses.vb)


def test_wrong_variance_costs_its_kl(diffusion: GaussianDiffusion, images: Tensor, noise: Tensor) -> None:
    y = torch.zeros(6, dtype=torch.long)
    found = diffusion.losses(Oracle(noise, fraction=1.0), images, y, Draw(T, noise)).vb
    gap = (diffusion.log_betas - diffusion.log_posterior)[T]
    expected = 0.5 * (gap + (-gap).exp() - 1) / math.log(2)
    assert torch.allclose(found[1:].double(), expected[1:], rtol=1e-3, atol=1e-5)


def test_model_without_variance_has_the_noise_loss_alone(
    diffusion: GaussianDiffusion, images: Tensor, noise: Tensor
) -> None:
    y = torch.zeros(6, dtype=torch.long)
    losses = diffusion.losses(Oracle(noise + 0.5, fraction=None), images, y, Draw(T, noise))
    assert torch.allclose(losses.loss, torch.full((6,), 0.25))
    assert torch.equal(losses.vb, torch.zeros(6))


def test_bound_trains_the_variance_and_not_the_noise(
    diffusion: GaussianDiffusion, images: Tensor, noise: Tensor
) -> None:
    output = torch.cat([noise + 0.1, torch.zeros_like(noise)], dim=1).requires_grad_()
    x_t = diffusion.q_sample(images, T, noise)
    diffusion.variational_bound(output, images, x_t, T).sum().backward()
    assert output.grad is not None
    assert output.grad[:, :1].abs().max() == 0
    assert (output.grad[:, 1:].flatten(1).abs().amax(dim=1) > 0).all()


def test_respaced_chain_trains_at_the_original_times(images: Tensor, noise: Tensor, tiny_dit: DiT) -> None:
    chain = GaussianDiffusion().respaced(10)
    y, t = torch.zeros(6, dtype=torch.long), torch.tensor([0, 1, 2, 5, 8, 9])
    with torch.no_grad():
        found = chain.losses(tiny_dit, images, y, Draw(t, noise)).mse
        x_t = GaussianDiffusion().q_sample(images, chain.timesteps[t], noise)
        expected = (tiny_dit(x_t, chain.timesteps[t], y)[:, :1] - noise).square().mean(dim=(1, 2, 3))
    assert torch.allclose(found, expected, rtol=1e-5)


def test_kl_of_equal_gaussians_is_zero_and_of_others_as_in_the_book() -> None:
    mean, log_variance = torch.tensor(0.3), torch.tensor(-1.0)
    assert _normal_kl(mean, log_variance, mean, log_variance) == 0
    p = torch.distributions.Normal(0.3, math.exp(-0.5))
    q = torch.distributions.Normal(-0.2, math.exp(0.25))
    found = _normal_kl(mean, log_variance, torch.tensor(-0.2), torch.tensor(0.5))
    assert found.item() == pytest.approx(torch.distributions.kl_divergence(p, q).item(), rel=1e-5)


def test_likelihoods_of_all_pixel_values_add_up_to_one() -> None:
    values = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    total = _discretised_log_likelihood(values, torch.tensor(0.2), torch.tensor(-1.5)).exp().sum()
    assert total.item() == pytest.approx(1.0, abs=1e-6)


def test_drawn_times_and_noise_come_from_the_generator_alone(diffusion: GaussianDiffusion) -> None:
    torch.manual_seed(0)
    first = diffusion.draw(500, (1, 8, 8), torch.Generator().manual_seed(7))
    second = diffusion.draw(500, (1, 8, 8), torch.Generator().manual_seed(7))
    t, noise = first.t, first.noise
    assert torch.equal(t, second.t) and torch.equal(noise, second.noise)
    assert noise.shape == (500, 1, 8, 8)
    assert 0 <= t.min() < 20 and 980 <= t.max() < 1000
    assert noise.std().item() == pytest.approx(1.0, abs=0.02)


def test_objective_is_found_by_the_family_of_the_model(build_tiny_dit: Callable[..., DiT]) -> None:
    assert isinstance(objective_for(build_tiny_dit()), GaussianDiffusion)
