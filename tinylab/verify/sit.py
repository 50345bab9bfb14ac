"""What a golden file of a SiT pins: forward, guided forward, the flow-matching loss, ODE sampling."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from tinylab.diffusion import Draw, objective_for
from tinylab.sampling.drawing import GivenNoise, Settings
from tinylab.sampling.generate import generate
from tinylab.verify.dit import guided_forward
from tinylab.verify.golden import Golden, build_model, gradients

__all__ = ["recompute"]


def recompute(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name."""
    model = build_model(golden, "sit")
    objective, found = objective_for(model), {}
    x, t, y, noise = (golden.input(name) for name in ("x", "t", "y", "noise"))
    loss = objective.losses(model, x, y, Draw(t, noise)).loss
    found = {"loss": loss.detach(), **gradients(golden, model, loss.mean())}
    for name in golden.part("output"):
        if name in found:
            continue
        with torch.inference_mode():
            if name == "forward":
                found[name] = model(x, t, y)
            elif name == "forward_with_cfg":
                found[name] = guided_forward(golden, model)
            elif match := re.fullmatch(r"sample_(euler|heun)(\d+)", name):
                settings = Settings(match[1], int(match[2]), guidance=1.0)
                found[name] = generate(model, objective, y, settings, noise=GivenNoise(noise))
            else:
                raise golden.unknown(name)
    return found
