"""The probability-flow ODE of a flow model, from noise (t = 0) to data (t = 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from tinylab.diffusion.flow import FlowMatching
from tinylab.sampling.drawing import Drawing

__all__ = ["sample_euler", "sample_heun"]


def sample_euler(drawing: Drawing) -> Iterator[Tensor]:
    """Equal Euler steps, one look at the model each: x += v dt."""
    x, times = drawing.start(), _times(drawing)
    for now, then in zip(times[:-1], times[1:], strict=True):
        x = x + (then - now) * drawing.predict(x, now)
        yield x


def sample_heun(drawing: Drawing) -> Iterator[Tensor]:
    """Equal steps with the mean of the velocities at both ends, two looks each: second order."""
    x, times = drawing.start(), _times(drawing)
    for now, then in zip(times[:-1], times[1:], strict=True):
        here = drawing.predict(x, now)
        there = drawing.predict(x + (then - now) * here, then)
        x = x + (then - now) * 0.5 * (here + there)
        yield x


def _times(drawing: Drawing) -> Tensor:
    """steps + 1 equally spaced times; the last keeps the path's distance from data."""
    path = cast(FlowMatching, drawing.objective).path
    return torch.linspace(0.0, 1.0 - path.sample_margin, drawing.settings.steps + 1, device=drawing.y.device)
