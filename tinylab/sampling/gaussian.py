"""Walking a Gaussian chain back, one step rule a sampler."""

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor

from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.sampling.base import Sampling

__all__ = ["StepRule", "ddim_step", "ddpm_step", "sample_ddim", "sample_ddpm", "walk_back"]

# (chain, model output, x, step, fresh noise) -> x one step less noisy; all images (N, …).
StepRule = Callable[[GaussianDiffusion, Tensor, Tensor, int, Tensor], Tensor]


def walk_back(sampling: Sampling, rule: StepRule, *, noisy: bool) -> Iterator[Tensor]:
    """The images (N, C, H, W) after every step, from pure noise.

    Args:
        noisy: whether the rule needs fresh noise; without, it is given none of its own (zeros).
    """
    chain = cast(GaussianDiffusion, sampling.objective).respaced(sampling.settings.steps)
    x = sampling.start()
    silence = torch.zeros((), device=x.device)
    for index in reversed(range(sampling.settings.steps)):
        output = sampling.predict(x, chain.timesteps[index])
        x = rule(chain, output, x, index, sampling.normal(*x.shape[1:]) if noisy and index else silence)
        yield x


def sample_ddpm(sampling: Sampling) -> Iterator[Tensor]:
    """The images (N, C, H, W) after every step."""
    return walk_back(sampling, ddpm_step, noisy=True)


def ddpm_step(
    chain: GaussianDiffusion, output: Tensor, x: Tensor, index: int, noise: Tensor, clip: float | None = None
) -> Tensor:
    """x_{t-1} = mean + sigma * noise, no noise at the last step. All images (N, C, …); see `predict` for `clip`."""
    guess = chain.predict(output, x, chain.index(index, len(x)), clip)
    return guess.mean if index == 0 else guess.mean + (0.5 * guess.log_variance).exp() * noise


def sample_ddim(sampling: Sampling) -> Iterator[Tensor]:
    """The images (N, C, H, W) after every step."""
    return walk_back(sampling, ddim_step, noisy=False)


def ddim_step(chain: GaussianDiffusion, output: Tensor, x: Tensor, index: int, noise: Tensor) -> Tensor:
    """x_{t-1} = sqrt(ᾱ_{t-1}) x_0 + sqrt(1 - ᾱ_{t-1}) ε; `noise` is not used."""
    del noise
    guess = chain.predict(output, x, chain.index(index, len(x)))
    previous = chain.alphas_cumprod_prev[index].to(x.dtype)
    return previous.sqrt() * guess.x_start + (1 - previous).sqrt() * guess.eps
