"""A model, its mask and one batch: what a search step is measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tinylab.bench.options import SearchOptions
from tinylab.config import SearchConfig
from tinylab.diffusion import Draw, Objective, objective_for
from tinylab.jobs.cost.contenders import fill_zeros, load_or_build
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.models.load import pick_device
from tinylab.models.networks.dit import DiT
from tinylab.pruning.budget_mask import mask_for
from tinylab.pruning.depth_mask import MaskDistribution
from tinylab.pruning.gates import Way, gated
from tinylab.pruning.layout import Layout
from tinylab.training.search import add_lora

__all__ = ["Subject", "build_model", "prepare"]

_SCALING, _TAU = 100.0, 1.0


@dataclass(frozen=True)
class Subject:
    """What stays the same from step to step.

    Attributes:
        x, y, draw: images (N, C, H, W), classes (N,), and the noise they get.
        dtype: what matrix products are computed in, through autocast.
        share: part of the dropped samples that runs in the way `sampled`.
    """

    model: Denoiser
    mask: MaskDistribution
    objective: Objective
    x: Tensor
    y: Tensor
    draw: Draw
    dtype: torch.dtype
    share: float

    def gradients(self, way: Way, seed: int) -> dict[str, Tensor | None]:
        """One step: draw masks, forward, backward. Gradients of everything that trains, by name; None for those that
        no sample asked for. Equal seeds draw equal masks in every way."""
        generator = torch.Generator().manual_seed(seed)
        masks = self.mask.draw(len(self.x), _TAU, generator).masks
        low = self.dtype is not torch.float32
        with (
            torch.autocast(self.x.device.type, torch.bfloat16, enabled=low),
            gated(self.model, masks, way=way, share=self.share, generator=generator),
        ):
            loss = self.objective.losses(self.model, self.x, self.y, self.draw).loss.mean()
        moving = dict(self.moving())
        found = torch.autograd.grad(loss, list(moving.values()), allow_unused=True)
        return dict(zip(moving, found, strict=True))

    def moving(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What trains; names of logits begin with `mask.`."""
        for name, parameter in (*self.model.named_parameters("model"), *self.mask.named_parameters("mask")):
            if parameter.requires_grad:
                yield name, parameter

    def lasting(self) -> Iterator[Tensor]:
        """What exists before and after a step, too: weights, tables and the batch."""
        for module in (self.model, self.mask, self.objective):
            assert isinstance(module, nn.Module)  # objectives are modules
            yield from (*module.parameters(), *module.buffers())
        yield from (self.x, self.y, self.draw.t, self.draw.noise)
        if self.draw.mask is not None:
            yield self.draw.mask


def build_model(options: SearchOptions) -> Denoiser:
    """The model that is asked for. Without trained weights, those that start at zero are random too: the blocks of an
    untrained DiT are the identity, and all their gradients zero."""
    if options.model is not None:
        return load_or_build(options.model, options.device, 0)
    torch.manual_seed(0)
    model = DiT(**options.config)
    fill_zeros(model.parameters())
    return model.to(pick_device(options.device))


def prepare(options: SearchOptions, model: Denoiser, *, weights: str, batch: int) -> Subject:
    """Everything else, on the device of the model. What `weights` says moves from now on; LoRA's matrices come once."""
    if weights == "lora" and not any("lora_" in name for name, _ in model.named_parameters()):
        lora = SearchConfig.model_fields
        fill_zeros(add_lora(model, rank=lora["lora_rank"].default, alpha=lora["lora_alpha"].default))
    elif weights == "frozen":
        model.requires_grad_(False)
    device, fixed = next(model.parameters()).device, protected_blocks(model)
    generator = torch.Generator().manual_seed(0)
    objective, layout = objective_for(model), Layout.parse(options.pattern, model.stack_depths(), fixed)
    return Subject(
        model=model.train(),
        mask=mask_for(layout, _SCALING, protected=fixed).to(device),
        objective=objective,
        x=torch.randn(batch, *model.sample_shape, generator=generator).to(device),
        y=torch.arange(batch, device=device) % model.num_classes,
        draw=objective.draw(batch, model.sample_shape, generator).to(device),
        dtype=getattr(torch, options.dtype),
        share=options.share,
    )
