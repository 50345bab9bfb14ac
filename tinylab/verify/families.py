"""What golden files of a DiT, a SiT and a MAR pin: forward passes, guidance, losses, gradients and sampling."""

import re
from typing import cast

import torch
from torch import Tensor

from tinylab.diffusion import Draw, objective_for
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.diffusion.masked import MaskedDiffusion
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.models.networks.dit import DiT
from tinylab.models.networks.mar import MAR
from tinylab.sampling import gaussian
from tinylab.sampling.base import GivenNoise, Settings
from tinylab.sampling.generate import generate
from tinylab.verify.golden import Golden, build_model, gradients, guidance_scale

__all__ = ["recompute_dit", "recompute_mar", "recompute_sit"]

_GUIDED = 3  # output channels that the published code guides


def recompute_dit(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file of a DiT: forward, guided forward, losses, gradients, ancestral and DDIM sampling."""
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


def _guided_forward(golden: Golden, model: Denoiser) -> Tensor:
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
        return _guided_forward(golden, model)
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


def recompute_sit(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file of a SiT: forward, guided forward, the flow-matching loss, ODE sampling."""
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
                found[name] = _guided_forward(golden, model)
            elif match := re.fullmatch(r"sample_(euler|heun)(\d+)", name):
                settings = Settings(match[1], int(match[2]), guidance=1.0)
                found[name] = generate(
                    model, objective, golden.input("y"), settings, noise=GivenNoise(golden.input("noise"))
                )
            else:
                raise golden.unknown(name)
    return found


def recompute_mar(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file of a MAR: tokens, encoder, decoder, the diffusion loss and its gradients."""
    model = cast(MAR, build_model(golden, "mar"))
    wanted = golden.part("output")
    x = golden.input("x")
    tokens = model.patchify(x)
    found = {"tokens": tokens}
    if wanted.keys() & {"encoder", "decoder"}:
        mask = golden.input("mask")
        hidden = model.encode(tokens, mask, golden.input("y"))
        found |= {"encoder": hidden.detach(), "decoder": model.decode(hidden, mask).detach()}
    if any(name == "loss" or name.startswith("grad.") for name in wanted):
        draw = _draw(golden, golden.input("mask"))
        loss = MaskedDiffusion.of(model.config).losses(model, x, golden.input("y"), draw).loss.mean()
        found |= {"loss": loss.detach().view_as(wanted.get("loss", loss)), **gradients(golden, model, loss)}
    for name in wanted:
        if name not in found:
            raise golden.unknown(name)
    return found


def _draw(golden: Golden, mask: Tensor) -> Draw:
    """Times and noise of the copies: in the file the whole batch of tokens is repeated, copy after copy."""
    t, noise = golden.input("diff_t"), golden.input("diff_noise")
    copies, rest = divmod(len(t), mask.numel())
    if rest or not copies or len(noise) != len(t):
        raise BadRequest(f"{golden.path}: {len(t)} times and {len(noise)} noises do not fit {mask.numel()} tokens")
    by_copy = t.view(copies, *mask.shape), noise.view(copies, *mask.shape, -1)
    return Draw(by_copy[0].transpose(0, 1), by_copy[1].transpose(0, 1), mask)
