"""Deterministic DDIM steps, eta 0 (Song et al. 2020, arXiv:2010.02502)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.sampling.chain import walk_back
from tinylab.sampling.drawing import Drawing

__all__ = ["sample", "step"]


def sample(drawing: Drawing) -> Iterator[Tensor]:
    """The images (N, C, H, W) after every step."""
    return walk_back(drawing, step, noisy=False)


def step(chain: GaussianDiffusion, output: Tensor, x: Tensor, index: int, noise: Tensor) -> Tensor:
    """x_{t-1} = sqrt(ᾱ_{t-1}) x_0 + sqrt(1 - ᾱ_{t-1}) ε; `noise` is not used."""
    del noise
    guess = chain.predict(output, x, chain.index(index, len(x)))
    previous = chain.alphas_cumprod_prev[index].to(x.dtype)
    return previous.sqrt() * guess.x_start + (1 - previous).sqrt() * guess.eps
