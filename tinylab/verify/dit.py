"""What a golden file of a DiT pins: forward, guided forward, losses, gradients, ancestral and DDIM sampling."""

from __future__ import annotations

import re
from typing import cast

import torch
from torch import Tensor

from tinylab.diffusion import Draw
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.models.base import Denoiser
from tinylab.models.networks.dit import DiT
from tinylab.sampling import gaussian
from tinylab.verify.golden import Golden, build_model, gradients, guidance_scale

__all__ = ["guided_forward", "recompute"]

_GUIDED = 3  # output channels that the published code guides


def recompute(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name."""
    model = build_model(golden, "dit")
    wanted = golden.part("output")
    found: dict[str, Tensor] = {}
    if any(name.startswith(("training_losses.", "grad.")) for name in wanted):
        draw = Draw(golden.input("t_loss"), golden.input("noise"))
        losses = GaussianDiffusion().losses(model, golden.input("x"), golden.input("y"), draw)
        found |= {f"training_losses.{term}": getattr(losses, term).detach() for term in ("loss", "mse", "vb")}
        found |= gradients(golden, model, losses.loss.mean())
    with torch.inference_mode():
        for name in wanted:
            if name not in found:
                found[name] = _inferred(golden, model, name)
    return found


def guided_forward(golden: Golden, model: Denoiser) -> Tensor:
    """The published guided pass over [x; x], [t; t], [y; null]."""
    x, t = (torch.cat([golden.input(name)] * 2) for name in ("x", "t"))
    return _guided(model, x, t, _with_null(golden, model), guidance_scale(golden))


def _guided(model: Denoiser, x: Tensor, t: Tensor, y: Tensor, scale: float) -> Tensor:
    """Ours, save for samples of fewer channels: there the published code's three first reach into the variance."""
    if model.sample_shape[0] >= _GUIDED:
        return cast(DiT, model).forward_with_cfg(x, t, y, scale)
    output = model(torch.cat([x[: len(x) // 2]] * 2), t, y)
    conditional, unconditional = output[:, :_GUIDED].chunk(2)
    guided = unconditional + scale * (conditional - unconditional)
    return torch.cat([torch.cat([guided, guided]), output[:, _GUIDED:]], dim=1)


def _inferred(golden: Golden, model: Denoiser, name: str) -> Tensor:
    if name == "forward":
        return model(golden.input("x"), golden.input("t"), golden.input("y"))
    if name == "forward_with_cfg":
        return guided_forward(golden, model)
    if match := re.fullmatch(r"sample_ddpm(\d+)_cfg(\d+(?:\.\d+)?)", name):
        return _ancestral(golden, model, int(match[1]), float(match[2]))
    if match := re.fullmatch(r"sample_ddim(\d+)_eta0(?:\.0)?", name):
        return _ddim(golden, model, int(match[1]))
    raise golden.unknown(name)


def _ancestral(golden: Golden, model: Denoiser, steps: int, scale: float) -> Tensor:
    """As published, the guided batch is carried twice, each half with noise of its own."""
    chain, x, noises = GaussianDiffusion().respaced(steps), golden.input("sample_z"), golden.input("sample_noises")
    y = _with_null(golden, model)
    for noise, index in zip(noises, reversed(range(steps)), strict=True):
        output = _guided(model, x, chain.timesteps[index].expand(len(x)), y, scale)
        x = gaussian.ddpm_step(chain, output, x, index, noise)
    return x


def _ddim(golden: Golden, model: Denoiser, steps: int) -> Tensor:
    chain, x = GaussianDiffusion().respaced(steps), golden.input("sample_z_ddim")
    for index in reversed(range(steps)):
        output = model(x, chain.timesteps[index].expand(len(x)), golden.input("y"))
        x = gaussian.ddim_step(chain, output, x, index, x)
    return x


def _with_null(golden: Golden, model: Denoiser) -> Tensor:
    y = golden.input("y")
    return torch.cat([y, torch.full_like(y, model.num_classes)])
