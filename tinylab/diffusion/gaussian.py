"""DDPM with a learned variance: the objective and the reverse step of the published DiT, and of MAR's tokens.

Ho et al. 2020 (arXiv:2006.11239), Nichol & Dhariwal 2021 (arXiv:2102.09672).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tinylab.diffusion.base import Comparison, Draw, Losses, even_times
from tinylab.errors import BadRequest

__all__ = ["GaussianDiffusion", "Prediction", "cosine_betas"]

_CHUNK = 512  # images measured at once
_CLEAN_STEPS = 250  # of the respaced chain whose step numbers the published ShortGPT scoring gives the model


def cosine_betas(count: int) -> Tensor:
    """Noise variances whose marginals follow a squared cosine (Nichol & Dhariwal 2021, equation 17), float64."""
    angle = (torch.arange(count + 1, dtype=torch.float64) / count + 0.008) / 1.008 * (math.pi / 2)
    product = angle.cos().square()
    return (1 - product[1:] / product[:-1]).clamp(max=0.999)


@dataclass(frozen=True)
class Prediction:
    """The step t -> t-1 that a model output stands for, each (N, C, H, W)."""

    eps: Tensor
    x_start: Tensor
    mean: Tensor
    log_variance: Tensor


class GaussianDiffusion(nn.Module):
    """A chain of noising steps, full (1000 linear ones) or respaced to fewer.

    Args:
        betas: noise variances of the chain, float64 (S,); None for the 1000 linear steps of DDPM.
        timesteps: the original time of every step, (S,), fed to the model.
    """

    alphas_cumprod: Tensor
    alphas_cumprod_prev: Tensor
    log_betas: Tensor
    log_posterior: Tensor
    mean_from_start: Tensor
    mean_from_x: Tensor
    timesteps: Tensor

    def __init__(self, betas: Tensor | None = None, timesteps: Tensor | None = None) -> None:
        super().__init__()
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64) if betas is None else betas
        timesteps = torch.arange(len(betas)) if timesteps is None else timesteps
        # With beta_t the variance of a step: alpha_t = 1 - beta_t, and the product of them up to t, here `product`, ᾱ_t
        # (Ho et al. 2020, equation 4). The posterior q(x_{t-1} | x_t, x_0) has variance (equation 7)
        # beta_t (1 - ᾱ_{t-1}) / (1 - ᾱ_t) and mean
        # sqrt(ᾱ_{t-1}) beta_t / (1 - ᾱ_t) x_0 + sqrt(alpha_t) (1 - ᾱ_{t-1}) / (1 - ᾱ_t) x_t.
        # Float64: 1 - ᾱ_t of the first steps is a difference of nearly equal numbers.
        product = torch.cumprod(1 - betas, dim=0)
        previous = torch.cat([torch.ones(1, dtype=torch.float64), product[:-1]])
        posterior = betas * (1 - previous) / (1 - product)
        tables = {
            "alphas_cumprod": product,
            "alphas_cumprod_prev": previous,
            "log_betas": betas.log(),
            # The posterior variance of the first step is zero; its logarithm borrows the second step's, if any.
            "log_posterior": torch.cat([posterior[1:2] if len(betas) > 1 else betas, posterior[1:]]).log(),
            "mean_from_start": betas * previous.sqrt() / (1 - product),
            "mean_from_x": (1 - previous) * (1 - betas).sqrt() / (1 - product),
        }
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)
        self.register_buffer("timesteps", timesteps, persistent=False)

    @classmethod
    def of(cls, config: Any) -> GaussianDiffusion:
        """The published chain of every DiT."""
        del config
        return cls()

    @property
    def num_steps(self) -> int:
        """Number of steps in the chain."""
        return len(self.timesteps)

    def respaced(self, count: int) -> GaussianDiffusion:
        """The chain of `count` evenly spaced steps, first and last included, with the same marginals.

        The stride is added up, as in the published code: a product rounds to other steps for some counts.
        """
        if not 1 <= count <= self.num_steps:
            raise BadRequest(f"{count} steps cannot be taken of a chain of {self.num_steps}; take 1 to that many")
        stride = (self.num_steps - 1) / max(1, count - 1)
        places = itertools.accumulate([stride] * (count - 1), initial=0.0)
        chosen = torch.tensor([round(place) for place in places] if count > 1 else [self.num_steps - 1])
        product = self.alphas_cumprod.cpu()[chosen]
        previous = torch.cat([torch.ones(1, dtype=torch.float64), product[:-1]])
        # beta_k = 1 - ᾱ_{s(k)} / ᾱ_{s(k-1)} leaves ᾱ at the chosen steps as it is (Nichol & Dhariwal 2021, section 4).
        return GaussianDiffusion(1 - product / previous, self.timesteps.cpu()[chosen]).to(self.timesteps.device)

    def index(self, step: int, count: int) -> Tensor:
        """The same step for `count` images, (count,)."""
        return torch.full((count,), step, device=self.timesteps.device)

    def _at(self, table: Tensor, t: Tensor, x: Tensor) -> Tensor:
        return table[t].to(x.dtype).view(-1, *[1] * (x.dim() - 1))

    def q_sample(self, x_start: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Noised images x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε."""
        product = self.alphas_cumprod
        return self._at(product.sqrt(), t, noise) * x_start + self._at((1 - product).sqrt(), t, noise) * noise

    def posterior_mean(self, x_start: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """Mean of q(x_{t-1} | x_t, x_0)."""
        return self._at(self.mean_from_start, t, x_t) * x_start + self._at(self.mean_from_x, t, x_t) * x_t

    def predict(self, output: Tensor, x_t: Tensor, t: Tensor, clip: float | None = None) -> Prediction:
        """Read a model output (N, 2C, …) as noise and variance fraction, or (N, C, …) as noise alone.

        The guess of x_0 is cut to ± `clip` if there is one.
        """
        channels = x_t.shape[1]
        eps = output[:, :channels]
        low = self._at(self.log_posterior, t, x_t)
        if output.shape[1] == 2 * channels:
            # log variance = v log beta + (1 - v) log posterior variance, the two bounds for unknown and for known x_0
            # (Nichol & Dhariwal 2021, equation 15); in logs, as both become tiny together. v is not cut to [0, 1].
            fraction = (output[:, channels:] + 1) / 2
            log_variance = fraction * self._at(self.log_betas, t, x_t) + (1 - fraction) * low
        else:
            log_variance = low.expand_as(x_t)
        # x_0 = (x_t - sqrt(1 - ᾱ_t) eps) / sqrt(ᾱ_t): `q_sample` solved for x_0. Put into the posterior mean it is
        # equation 11 of Ho et al.
        product = self.alphas_cumprod
        x_start = self._at(product.rsqrt(), t, x_t) * x_t - self._at((1 / product - 1).sqrt(), t, x_t) * eps
        if clip is not None:
            x_start = x_start.clamp(-clip, clip)
        return Prediction(eps, x_start, self.posterior_mean(x_start, x_t, t), log_variance)

    def draw(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        """Uniform times (N,) and Gaussian noise (N, *shape) for a training step."""
        t = torch.randint(self.num_steps, (count,), generator=generator)
        return Draw(t, torch.randn(count, *shape, generator=generator))

    def evaluation_draws(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> list[Draw]:
        """The same with times spread evenly over the whole chain, in chunks."""
        t = (even_times(count, generator) * self.num_steps).long().clamp(max=self.num_steps - 1)
        noise = torch.randn(count, *shape, generator=generator)
        return [Draw(*parts) for parts in zip(t.split(_CHUNK), noise.split(_CHUNK), strict=True)]

    def forward(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Tensor:
        """The model's output for the noised images."""
        return model(self.q_sample(x, draw.t, draw.noise), self.timesteps[draw.t], y)

    def clean_forward(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Tensor:
        """The model's output for clean images and the bare number 0 … 249 of a step of the chain respaced to 250.

        Bare: the number is not mapped back to the original time, which runs to 999.
        """
        return model(x, draw.t * _CLEAN_STEPS // self.num_steps, y)

    def losses(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Losses:
        """Hybrid loss of images x (N, C, …): noise MSE, and the variational bound, which trains the variance only.

        Source: Nichol & Dhariwal 2021, equation 16, unweighted as in the published DiT.
        """
        return self._judged(self.forward(model, x, y, draw), x, draw)

    def compare(self, student: nn.Module, teacher: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Comparison:
        """The teacher loss is the error against the teacher's noise, and the divergence from its reverse step."""
        with torch.no_grad():
            target = self.forward(teacher, x, y, draw)
        return self.compared(self.forward(student, x, y, draw), target, x, draw)

    def compared(self, output: Tensor, target: Tensor, x: Tensor, draw: Draw) -> Comparison:
        """The comparison of a student's output with a teacher's (both (N, C, …) or (N, 2C, …))."""
        channels = x.shape[1]
        mse = _mean((output[:, :channels] - target[:, :channels]).square())
        vb = torch.zeros_like(mse)
        if output.shape[1] == 2 * channels:
            x_t = self.q_sample(x, draw.t, draw.noise)
            vb = self.divergence(target, output, x, x_t, draw.t) * (self.num_steps / 1000)
        return Comparison(self._judged(output, x, draw), Losses(mse + vb, mse, vb))

    def _judged(self, output: Tensor, x: Tensor, draw: Draw) -> Losses:
        # L_simple = E |noise - eps(x_t, t)|^2 (Ho et al., equation 14), and L_hybrid = L_simple + lambda L_vlb with
        # lambda = 0.001 (Nichol & Dhariwal, section 3.1). L_vlb is a sum over S steps, so that one step at random
        # counts S * 0.001 times: the factor num_steps / 1000, which is 1 for the full chain.
        mse = _mean((output[:, : x.shape[1]] - draw.noise).square())
        if output.shape[1] == x.shape[1]:
            return Losses(mse, mse, torch.zeros_like(mse))
        x_t = self.q_sample(x, draw.t, draw.noise)
        vb = self.variational_bound(output, x, x_t, draw.t) * (self.num_steps / 1000)
        return Losses(mse + vb, mse, vb)

    def variational_bound(self, output: Tensor, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """One term of the bound, (N,) bits per dimension: KL to the posterior, at t = 0 the decoder's likelihood."""
        return self._bound(self.posterior_mean(x, x_t, t), self._at(self.log_posterior, t, x_t), output, x, x_t, t)

    def divergence(self, teacher: Tensor, student: Tensor, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """KL from one model's reverse step to another's, (N,) bits per dimension; at t = 0 as in the bound.

        Both are outputs (N, 2C, …) for x_t. As in the bound, only the student's variance learns from it.
        """
        target = self.predict(teacher, x_t, t)
        return self._bound(target.mean, target.log_variance, student, x, x_t, t)

    def _bound(self, mean: Tensor, log_variance: Tensor, output: Tensor, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        # The mean is detached: L_vlb trains the variance alone, as L_simple does the mean (Nichol & Dhariwal, section
        # 3.1).
        frozen_mean = torch.cat([output[:, : x.shape[1]].detach(), output[:, x.shape[1] :]], dim=1)
        guess = self.predict(frozen_mean, x_t, t)
        kl = _normal_kl(mean, log_variance, guess.mean, guess.log_variance)
        decoder = -_discretised_log_likelihood(x, guess.mean, guess.log_variance / 2)
        first = (t == 0).view(-1, *[1] * (x.dim() - 1))
        # L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)), L_0 = -log p(x_0 | x_1) (Ho et al., equation 5); nats
        # to bits.
        return _mean(torch.where(first, decoder, kl)) / math.log(2.0)


def _mean(values: Tensor) -> Tensor:
    """Mean over everything but the samples."""
    return values.flatten(1).mean(dim=1)


def _normal_kl(mean_p: Tensor, log_var_p: Tensor, mean_q: Tensor, log_var_q: Tensor) -> Tensor:
    """KL(p || q) of two diagonal Gaussians, in nats."""
    # (log(var_q / var_p) + (var_p + (mean_p - mean_q)^2) / var_q - 1) / 2
    distance = (mean_p - mean_q).square() * (-log_var_q).exp()
    return 0.5 * (log_var_q - log_var_p + (log_var_p - log_var_q).exp() + distance - 1)


def _normal_cdf(x: Tensor) -> Tensor:
    """The published tanh approximation of the Gaussian distribution function (kept for equal numbers)."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _discretised_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log-likelihood of 8-bit pixel values in [-1, 1] under a Gaussian, in nats."""
    # A pixel value x stands for [x - 1/255, x + 1/255], open-ended at -1 and 1 (Ho et al., equation 13).
    inverse = torch.exp(-log_scale)
    upper = _normal_cdf((x - mean + 1 / 255) * inverse)
    lower = _normal_cdf((x - mean - 1 / 255) * inverse)
    probability = torch.where(x < -0.999, upper, torch.where(x > 0.999, 1 - lower, upper - lower))
    return probability.clamp(min=1e-12).log()
