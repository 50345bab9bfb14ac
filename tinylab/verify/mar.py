"""What a golden file of a MAR pins: tokens, encoder, decoder, the diffusion loss and its gradients under a mask."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from tinylab.diffusion import Draw
from tinylab.diffusion.masked import MaskedDiffusion
from tinylab.errors import BadRequest
from tinylab.models.networks.mar import MAR
from tinylab.verify.golden import Golden, build_model, gradients

__all__ = ["recompute"]


def recompute(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name."""
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
