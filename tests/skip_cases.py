"""What the tests of the ways of gating share: masks, a step of any family, and how gradients are compared."""

from __future__ import annotations

import torch
from torch import Tensor

from tinylab.diffusion import objective_for
from tinylab.models.base import Denoiser
from tinylab.pruning.depth_mask import DepthMask
from tinylab.pruning.gates import gated
from tinylab.pruning.layout import Layout
from tinylab.training.search import add_lora

__all__ = ["WEIGHTS", "count_rows", "difference", "draw_masks", "move_weights", "step"]

WEIGHTS = ("lora", "full", "frozen")


def move_weights(model: Denoiser, weights: str) -> Denoiser:
    """The model, ready for a way in which its weights move along; LoRA matrices are not at zero."""
    torch.manual_seed(0)
    if weights == "lora":
        for parameter in add_lora(model, rank=2, alpha=4):
            torch.nn.init.normal_(parameter, std=0.2)
    elif weights == "frozen":
        model.requires_grad_(False)
    return model


def draw_masks(model: Denoiser, pattern: str, count: int, seed: int = 0) -> tuple[DepthMask, dict[str, Tensor]]:
    """Learnable masks and one draw of them, the same for the same seed."""
    mask = DepthMask(Layout.parse(pattern, model.stack_depths()))
    return mask, mask.draw(count, 1.0, torch.Generator().manual_seed(seed)).masks


def step(
    model: Denoiser, pattern: str, *, count: int = 7, seed: int = 0, **how
) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Losses of the samples (count,) and all gradients of one step of the model's own objective, gated as `how`."""
    generator = torch.Generator().manual_seed(seed)
    objective = objective_for(model)
    x = torch.randn(count, *model.sample_shape, generator=generator)
    draw = objective.draw(count, model.sample_shape, generator)
    mask, masks = draw_masks(model, pattern, count, seed)
    for drawn in masks.values():
        drawn.retain_grad()
    with gated(model, masks, **how):
        losses = objective.losses(model, x, torch.arange(count) % 10, draw).loss
    model.zero_grad()
    losses.mean().backward()
    moving = {**dict(model.named_parameters()), **{f"mask.{key}": p for key, p in mask.named_parameters()}, **masks}
    return losses.detach(), {key: value.grad for key, value in moving.items() if value.requires_grad}


def difference(found: dict[str, Tensor | None], wanted: dict[str, Tensor | None]) -> float:
    """The largest relative error of a tensor. An absent gradient is a zero; one that is small beside the others (a bias
    that cancels out, say) only has rounding errors to show, and is measured against a hundredth of the largest."""
    assert found.keys() == wanted.keys()
    full = {key: value for key, value in wanted.items() if value is not None}
    scale = max(value.norm().item() for value in full.values())
    assert scale > 0
    assert all(value is None or value.norm() == 0 for key, value in found.items() if key not in full)
    errors = []
    for key, value in full.items():
        other = found[key]
        error = value.norm() if other is None else (other - value).norm()
        errors.append(error.item() / max(value.norm().item(), 1e-2 * scale))
    return max(errors)


def count_rows(model: Denoiser) -> list[int]:
    """A list that grows by the number of samples whenever a block's attention is called."""
    sizes: list[int] = []
    for blocks in model.block_stacks().values():
        for block in blocks:
            block.attn.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    return sizes
