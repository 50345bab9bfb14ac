"""Iterative sampling of a MAR: all tokens hidden at first, drawn a few at a time in random order (Li et al. 2024)."""

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor

from tinylab.diffusion.masked import MaskedDiffusion
from tinylab.models.networks.mar import MAR
from tinylab.models.networks.token_head import TokenHead
from tinylab.sampling import gaussian
from tinylab.sampling.base import Sampling

__all__ = ["hidden_after", "sample"]


def sample(sampling: Sampling) -> Iterator[Tensor]:
    """The images (N, C, H, W) after every round; tokens that are still hidden are zero."""
    model, device = cast(MAR, sampling.model), sampling.y.device
    count, total = len(sampling.y), model.num_tokens
    tokens = torch.zeros(count, total, model.z_proj.in_features, device=device)
    order = sampling.noise.order(total).to(device)  # order[:, -1] is drawn first
    rounds = min(sampling.settings.steps, total)
    hidden = total
    for k in range(rounds):
        left = hidden_after(k, rounds, total, hidden)
        mask = torch.zeros(count, total, device=device).scatter_(1, order[:, :hidden], 1.0)
        chosen = order[:, left:hidden].sort(dim=1).values  # (N, how many are drawn now)
        fresh = _draw_tokens(sampling, tokens, mask, hidden, chosen, _guidance(sampling, left, total))
        tokens = tokens.scatter(1, chosen.unsqueeze(-1).expand_as(fresh), fresh)
        hidden = left
        yield model.unpatchify(tokens)


def hidden_after(index: int, rounds: int, total: int, hidden: int) -> int:
    """Tokens still hidden after round `index` (from 0): a cosine, at least one drawn in every round."""
    if index == rounds - 1:
        return 0
    return max(1, min(hidden - 1, math.floor(total * math.cos(math.pi / 2 * (index + 1) / rounds))))


def _guidance(sampling: Sampling, left: int, total: int) -> float:
    """The guidance of a round: constant, or growing with the share of tokens that are known."""
    scale = sampling.settings.guidance
    return scale if sampling.settings.schedule == "constant" else 1 + (scale - 1) * (total - left) / total


def _draw_tokens(sampling: Sampling, tokens: Tensor, mask: Tensor, hidden: int, chosen: Tensor, scale: float) -> Tensor:
    """New values (N, K, V) of the tokens at `chosen` (N, K), by the head's own small chain."""
    model, y = cast(MAR, sampling.model), sampling.classes_and_null
    copies = len(y) // len(tokens)
    z = model(tokens.repeat(copies, 1, 1), mask.repeat(copies, 1), y, hidden)
    z = z.gather(1, chosen.repeat(copies, 1).unsqueeze(-1).expand(-1, -1, z.shape[-1])).flatten(0, 1)
    chain = cast(MaskedDiffusion, sampling.objective).chain.respaced(model.head_steps)
    head = cast(TokenHead, model.head)
    condition = head.cond_embed(z)  # once for all steps of the head
    noises = sampling.normal(model.head_steps + 1, chosen.shape[1], tokens.shape[-1]).transpose(0, 1).flatten(1, 2)
    x = noises[0]  # (N * K, V)
    for k, index in enumerate(reversed(range(model.head_steps)), start=1):
        output = head.denoise(x.repeat(copies, 1), chain.timesteps[index].view(1), condition)
        if copies == 2:
            output = _guided(output, x.shape[1], scale)
        x = gaussian.ddpm_step(chain, output, x, index, sampling.settings.temperature * noises[k], model.clip_value)
    return x.view(*chosen.shape, -1)


def _guided(output: Tensor, values: int, scale: float) -> Tensor:
    """Classifier-free guidance of the noise (2K, 2V) -> (K, 2V); the variance is that of the class."""
    conditional, unconditional = output.chunk(2)
    eps = unconditional[:, :values] + scale * (conditional[:, :values] - unconditional[:, :values])
    return torch.cat([eps, conditional[:, values:]], dim=1)
