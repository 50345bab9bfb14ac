"""Walking a Gaussian chain back, one step rule a sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor

from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.sampling.drawing import Drawing

__all__ = ["StepRule", "walk_back"]

# (chain, model output, x, step, fresh noise) -> x one step less noisy; all images (N, …).
StepRule = Callable[[GaussianDiffusion, Tensor, Tensor, int, Tensor], Tensor]


def walk_back(drawing: Drawing, rule: StepRule, *, noisy: bool) -> Iterator[Tensor]:
    """The images (N, C, H, W) after every step, from pure noise.

    Args:
        noisy: whether the rule needs fresh noise; without, it is given none of its own (zeros).
    """
    chain = cast(GaussianDiffusion, drawing.objective).respaced(drawing.settings.steps)
    x = drawing.start()
    silence = torch.zeros((), device=x.device)
    for index in reversed(range(drawing.settings.steps)):
        output = drawing.predict(x, chain.timesteps[index])
        x = rule(chain, output, x, index, drawing.normal(*x.shape[1:]) if noisy and index else silence)
        yield x
