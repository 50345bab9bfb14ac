"""The reverse SDE of a flow model, Euler-Maruyama (Ma et al. 2024, section 2.3), with the published defaults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from tinylab.diffusion.flow import FlowMatching
from tinylab.sampling.drawing import Drawing

__all__ = ["sample"]

_LAST = 0.04  # length of the last of several steps; it goes to data along the drift without noise


def sample(drawing: Drawing) -> Iterator[Tensor]:
    """dx = (v + w s) dt + sqrt(2 w) dW with the diffusion w = sigma_t; one look at the model a step."""
    objective = cast(FlowMatching, drawing.objective)
    x, steps = drawing.start(), drawing.settings.steps
    if steps == 1:  # no step is left for noise: follow the flow
        yield x + drawing.predict(x, torch.zeros((), device=x.device))
        return
    times = torch.linspace(0.0, 1.0 - _LAST, steps, device=x.device)
    for k, t in enumerate(times):
        drift = _drift(drawing, objective, x, t)
        if k == steps - 1:
            yield x + _LAST * drift
            return
        span = times[k + 1] - t
        fresh = drawing.normal(*x.shape[1:])
        x = x + span * drift + (2 * objective.path.sigma(t) * span).sqrt() * fresh
        yield x


def _drift(drawing: Drawing, objective: FlowMatching, x: Tensor, t: Tensor) -> Tensor:
    velocity = drawing.predict(x, t)
    return velocity + objective.path.sigma(t) * objective.score(velocity, x, t.expand(len(x)))
