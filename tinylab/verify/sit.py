"""What a golden file of a SiT pins: forward, guided forward, the flow-matching loss, ODE sampling."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from tinylab.diffusion import Draw, objective_for
from tinylab.sampling.base import GivenNoise, Settings
from tinylab.sampling.generate import generate
from tinylab.verify.dit import guided_forward
from tinylab.verify.golden import Golden, build_model, gradients

__all__ = ["recompute"]


def recompute(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name."""
    model = build_model(golden, "sit")
    objective = objective_for(model)
    wanted, found = golden.part("output"), {}
    if any(name == "loss" or name.startswith("grad.") for name in wanted):
        draw = Draw(golden.input("t"), golden.input("noise"))
        loss = objective.losses(model, golden.input("x"), golden.input("y"), draw).loss
        found = {"loss": loss.detach(), **gradients(golden, model, loss.mean())}
    for name in wanted:
        if name in found:
            continue
        with torch.inference_mode():
            if name == "forward":
                found[name] = model(golden.input("x"), golden.input("t"), golden.input("y"))
            elif name == "forward_with_cfg":
                found[name] = guided_forward(golden, model)
            elif match := re.fullmatch(r"sample_(euler|heun)(\d+)", name):
                settings = Settings(match[1], int(match[2]), guidance=1.0)
                found[name] = generate(
                    model, objective, golden.input("y"), settings, noise=GivenNoise(golden.input("noise"))
                )
            else:
                raise golden.unknown(name)
    return found
