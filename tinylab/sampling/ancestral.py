"""Ancestral DDPM steps with the learned variance (Ho et al. 2020, Nichol & Dhariwal 2021)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.sampling.chain import walk_back
from tinylab.sampling.drawing import Drawing

__all__ = ["sample", "step"]


def sample(drawing: Drawing) -> Iterator[Tensor]:
    """The images (N, C, H, W) after every step."""
    return walk_back(drawing, step, noisy=True)


def step(
    chain: GaussianDiffusion, output: Tensor, x: Tensor, index: int, noise: Tensor, clip: float | None = None
) -> Tensor:
    """x_{t-1} = mean + sigma * noise, no noise at the last step. All images (N, C, …); see `predict` for `clip`."""
    guess = chain.predict(output, x, chain.index(index, len(x)), clip)
    return guess.mean if index == 0 else guess.mean + (0.5 * guess.log_variance).exp() * noise
