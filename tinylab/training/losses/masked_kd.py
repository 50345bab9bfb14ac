"""Masked representation distillation (TinyFusion: Fang et al. 2024, arXiv:2412.01199, section 3.4).

A student learns the teacher's noise and variance, the images themselves, and hidden states from which the few
activations of extreme size are masked out: pulling at these would spoil the student.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinylab.diffusion import Draw
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.models.base import Denoiser

__all__ = ["DistillationLosses", "hidden_states", "masked_distillation", "masked_gap"]

_SPREAD = 2.0  # standard deviations; activations further from the mean are masked


@dataclass(frozen=True)
class DistillationLosses:
    """Per-sample terms, each (N,).

    Attributes:
        loss: alpha_kd * kd + (1 - alpha_kd) * truth + beta_feat * features.
        kd: error against the teacher's noise, plus `vb_kd`.
        vb_kd: divergence of the student's reverse step from the teacher's, in bits per dimension.
        truth: the student's own loss on the images, `mse` + `vb`.
        features: masked error of hidden states, a mean over the mapped layers.
    """

    loss: Tensor
    kd: Tensor
    vb_kd: Tensor
    truth: Tensor
    mse: Tensor
    vb: Tensor
    features: Tensor


def masked_distillation(
    student: Denoiser,
    teacher: Denoiser,
    chain: GaussianDiffusion,
    x: Tensor,
    y: Tensor,
    draw: Draw,
    *,
    layer_map: Sequence[tuple[int, int]],
    alpha_kd: float,
    beta_feat: float,
) -> DistillationLosses:
    """All terms for images x (N, C, H, W) with classes y (N,), which both models see with the same noise.

    Args:
        layer_map: (student block, teacher block) whose outputs are compared.
    """
    x_t = chain.q_sample(x, draw.t, draw.noise)
    times = chain.timesteps[draw.t]
    with torch.no_grad(), hidden_states(teacher, [block for _, block in layer_map]) as taught:
        target = teacher(x_t, times, y)
    with hidden_states(student, [block for block, _ in layer_map]) as learned:
        output = student(x_t, times, y)
    channels = x.shape[1]
    mse = _mean((output[:, :channels] - draw.noise).square())
    vb = chain.variational_bound(output, x, x_t, draw.t) * (chain.num_steps / 1000)
    vb_kd = chain.divergence(target, output, x, x_t, draw.t) * (chain.num_steps / 1000)
    kd = _mean((output[:, :channels] - target[:, :channels]).square()) + vb_kd
    gaps = [masked_gap(a, b) for a, b in zip(learned, taught, strict=True)]
    features = torch.stack(gaps).mean(dim=0)
    loss = alpha_kd * kd + (1 - alpha_kd) * (mse + vb) + beta_feat * features
    return DistillationLosses(loss, kd, vb_kd, mse + vb, mse, vb, features)


def masked_gap(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error of two hidden states (N, T, D) per sample (N,), extreme activations of each set to zero."""
    return _mean((_without_extremes(a) - _without_extremes(b)).square())


def _without_extremes(h: Tensor) -> Tensor:
    flat = h.detach().flatten(1)
    mean, deviation = flat.mean(dim=1), flat.std(dim=1)
    shape = (-1, *[1] * (h.dim() - 1))
    return h * ((h.detach() - mean.view(shape)).abs() < _SPREAD * deviation.view(shape))


@contextlib.contextmanager
def hidden_states(model: Denoiser, blocks: Sequence[int]) -> Iterator[list[Tensor]]:
    """Within the block, forward passes fill the list with the outputs (N, T, D) of these blocks, in this order."""
    (stack,) = model.block_stacks().values()
    states = [torch.empty(0)] * len(blocks)

    def keep(place: int):
        def hook(block: nn.Module, arguments: tuple, output: Tensor) -> None:
            states[place] = output

        return hook

    hooks = [stack[block].register_forward_hook(keep(place)) for place, block in enumerate(blocks)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(dim=1)
