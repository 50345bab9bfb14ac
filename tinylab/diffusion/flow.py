"""Flow matching: the objective of the published SiT, and what its samplers need (Ma et al. 2024, arXiv:2401.08740).

Time runs from noise (t = 0) to data (t = 1): x_t = alpha_t x + sigma_t noise. The model predicts the velocity dx_t/dt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from tinylab.diffusion.base import Comparison, Draw, Losses, even_times
from tinylab.errors import BadRequest

__all__ = ["PATHS", "FlowMatching", "Path"]

_CHUNK = 512  # images measured at once
_VP_LARGE, _VP_SMALL = 20.0, 0.1  # noise rates of the variance-preserving path


@dataclass(frozen=True)
class Path:
    """How noise turns into data.

    Attributes:
        alpha, sigma: weights of data and noise at times t in [0, 1].
        alpha_rate, sigma_rate: their derivatives.
        train_margin, sample_margin: times this close to data are left out, where the path is singular.
    """

    alpha: Callable[[Tensor], Tensor]
    sigma: Callable[[Tensor], Tensor]
    alpha_rate: Callable[[Tensor], Tensor]
    sigma_rate: Callable[[Tensor], Tensor]
    train_margin: float = 0.0
    sample_margin: float = 0.0


def _vp_log_alpha(t: Tensor) -> Tensor:
    # With s = 1 - t, log alpha = -1/2 of the integral of beta from 0 to s, beta(u) = small + u (large - small): the
    # variance-preserving diffusion of Song et al. 2021 (arXiv:2011.13456).
    return -0.25 * (1 - t) ** 2 * (_VP_LARGE - _VP_SMALL) - 0.5 * (1 - t) * _VP_SMALL


def _vp_log_alpha_rate(t: Tensor) -> Tensor:
    return 0.5 * (1 - t) * (_VP_LARGE - _VP_SMALL) + 0.5 * _VP_SMALL


def _vp_alpha(t: Tensor) -> Tensor:
    return _vp_log_alpha(t).exp()


def _vp_sigma(t: Tensor) -> Tensor:
    # sigma^2 = 1 - alpha^2; expm1 keeps its digits near data, where alpha is nearly 1.
    return (-torch.expm1(2 * _vp_log_alpha(t))).sqrt()


PATHS: Mapping[str, Path] = MappingProxyType(
    {
        # alpha = t, sigma = 1 - t: straight lines, whose velocity data - noise does not depend on t.
        "linear": Path(lambda t: t, lambda t: 1 - t, torch.ones_like, lambda t: -torch.ones_like(t)),
        # alpha = sin(pi t / 2), sigma = cos(pi t / 2): alpha^2 + sigma^2 = 1, so states keep the variance of the data.
        "gvp": Path(
            lambda t: (t * math.pi / 2).sin(),
            lambda t: (t * math.pi / 2).cos(),
            lambda t: math.pi / 2 * (t * math.pi / 2).cos(),
            lambda t: -math.pi / 2 * (t * math.pi / 2).sin(),
        ),
        "vp": Path(
            _vp_alpha,
            _vp_sigma,
            lambda t: _vp_alpha(t) * _vp_log_alpha_rate(t),
            # From sigma^2 = 1 - alpha^2: sigma' = -alpha alpha' / sigma, singular at data, where sigma is 0.
            lambda t: -_vp_alpha(t).square() * _vp_log_alpha_rate(t) / _vp_sigma(t),
            train_margin=1e-5,
            sample_margin=1e-3,
        ),
    }
)


class FlowMatching(nn.Module):
    """Velocity prediction along a path, with uniform times.

    Args:
        path: name of an entry of `PATHS`.
    """

    def __init__(self, path: str = "linear") -> None:
        super().__init__()
        if path not in PATHS:
            raise BadRequest(f"unknown path {path!r}; choose one of: {', '.join(PATHS)}")
        self.path = PATHS[path]

    @classmethod
    def of(cls, config: Any) -> FlowMatching:
        """The objective along the path that the model's config names."""
        return cls(config["path"])

    def interpolate(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """x_t (N, C, H, W) between noise (t = 0) and data x (t = 1)."""
        # x_t = alpha_t x + sigma_t noise (Ma et al. 2024, section 2).
        return _like(self.path.alpha(t), x) * x + _like(self.path.sigma(t), x) * noise

    def velocity(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """dx_t/dt, what the model should predict."""
        # The model learns E[alpha' x + sigma' noise | x_t], the velocity of the flow that carries noise to data.
        return _like(self.path.alpha_rate(t), x) * x + _like(self.path.sigma_rate(t), x) * noise

    def score(self, velocity: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The gradient of log p_t at x_t (N, …) that a velocity (N, …) implies."""
        # s = -E[noise | x_t] / sigma. Solving x_t = alpha x + sigma noise and v = alpha' x + sigma' noise for the
        # noise: s = (alpha v - alpha' x_t) / (sigma (alpha' sigma - alpha sigma')); below divided through by alpha'.
        path = self.path
        ratio = _like(path.alpha(t) / path.alpha_rate(t), x_t)
        sigma, rate = _like(path.sigma(t), x_t), _like(path.sigma_rate(t), x_t)
        return (ratio * velocity - x_t) / (sigma.square() - ratio * rate * sigma)

    def draw(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        """Uniform times (N,) and Gaussian noise (N, *shape) for a training step."""
        return self._draw(torch.rand(count, generator=generator), shape, generator)

    def evaluation_draws(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> list[Draw]:
        """The same with times spread evenly, in chunks."""
        draw = self._draw(even_times(count, generator), shape, generator)
        return [Draw(*parts) for parts in zip(draw.t.split(_CHUNK), draw.noise.split(_CHUNK), strict=True)]

    def forward(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Tensor:
        """The model's velocity at the interpolated images."""
        return model(self.interpolate(x, draw.t, draw.noise), draw.t, y)

    def clean_forward(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Tensor:
        """The model's velocity at clean images, whatever time it is given."""
        return model(x, draw.t, y)

    def losses(self, model: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Losses:
        """Mean squared error of the velocity, per sample; times are kept off the end where the path is singular."""
        draw = self._kept_off(draw)
        # E |v(x_t, t) - (alpha' x + sigma' noise)|^2 with t uniform.
        return _squared(self.forward(model, x, y, draw) - self.velocity(x, draw.t, draw.noise))

    def compare(self, student: nn.Module, teacher: nn.Module, x: Tensor, y: Tensor, draw: Draw) -> Comparison:
        """The teacher loss is the error against the teacher's velocity."""
        draw = self._kept_off(draw)
        with torch.no_grad():
            target = self.forward(teacher, x, y, draw)
        output = self.forward(student, x, y, draw)
        return Comparison(_squared(output - self.velocity(x, draw.t, draw.noise)), _squared(output - target))

    def _kept_off(self, draw: Draw) -> Draw:
        return replace(draw, t=draw.t.clamp(max=1 - self.path.train_margin))

    def _draw(self, uniform: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Draw:
        t = uniform * (1 - self.path.train_margin)
        return Draw(t, torch.randn(len(t), *shape, generator=generator))


def _squared(error: Tensor) -> Losses:
    mse = error.square().flatten(1).mean(dim=1)
    return Losses(mse, mse, torch.zeros_like(mse))


def _like(values: Tensor, x: Tensor) -> Tensor:
    """Per-sample values (N,) with as many axes as x, in its dtype."""
    return values.view(-1, *[1] * (x.dim() - 1)).to(x.dtype)
