"""The probability-flow ODE of a flow model, from noise (t = 0) to data (t = 1)."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from tinylab.diffusion.flow import FlowMatching
from tinylab.sampling.base import Sampling

__all__ = ["sample_euler", "sample_heun", "sample_sde"]


def sample_euler(sampling: Sampling) -> Iterator[Tensor]:
    """Equal Euler steps, one forward pass each: x += v dt."""
    x, times = sampling.start(), _times(sampling)
    for now, then in zip(times[:-1], times[1:], strict=True):
        x = x + (then - now) * sampling.predict(x, now)
        yield x


def sample_heun(sampling: Sampling) -> Iterator[Tensor]:
    """Equal steps with the mean of the velocities at both ends, two forward passes each: second order."""
    x, times = sampling.start(), _times(sampling)
    for now, then in zip(times[:-1], times[1:], strict=True):
        here = sampling.predict(x, now)
        there = sampling.predict(x + (then - now) * here, then)
        x = x + (then - now) * 0.5 * (here + there)
        yield x


def _times(sampling: Sampling) -> Tensor:
    """steps + 1 equally spaced times; the last keeps the path's distance from data."""
    path = cast(FlowMatching, sampling.objective).path
    return torch.linspace(0.0, 1.0 - path.sample_margin, sampling.settings.steps + 1, device=sampling.y.device)


_LAST_SDE_STEP = 0.04  # length of the last of several steps; it goes to data along the drift without noise


def sample_sde(sampling: Sampling) -> Iterator[Tensor]:
    """dx = (v + w s) dt + sqrt(2 w) dW with the diffusion w = sigma_t; one forward pass a step."""
    objective = cast(FlowMatching, sampling.objective)
    x, steps = sampling.start(), sampling.settings.steps
    if steps == 1:  # no step is left for noise: follow the flow
        yield x + sampling.predict(x, torch.zeros((), device=x.device))
        return
    times = torch.linspace(0.0, 1.0 - _LAST_SDE_STEP, steps, device=x.device)
    for k, t in enumerate(times):
        drift = _drift(sampling, objective, x, t)
        if k == steps - 1:
            yield x + _LAST_SDE_STEP * drift
            return
        span = times[k + 1] - t
        fresh = sampling.normal(*x.shape[1:])
        x = x + span * drift + (2 * objective.path.sigma(t) * span).sqrt() * fresh
        yield x


def _drift(sampling: Sampling, objective: FlowMatching, x: Tensor, t: Tensor) -> Tensor:
    velocity = sampling.predict(x, t)
    return velocity + objective.path.sigma(t) * objective.score(velocity, x, t.expand(len(x)))
