"""What a golden file of depth masks pins: a gated forward and its gradients, the Gumbel noise given."""

from __future__ import annotations

import torch
from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.pruning.depth_mask import MaskGroup
from tinylab.pruning.gates import gated
from tinylab.verify.golden import Golden, build_model, gradients

__all__ = ["recompute"]


def recompute(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name."""
    model = build_model(golden, "dit")
    ((stack, depth),) = model.stack_depths().items()
    groups, masks = [], []
    for index in range(len(golden.note("groups"))):
        group = MaskGroup(golden.input(f"options.{index}").tolist(), float(golden.note("scaling")))
        with torch.no_grad():
            group.logits.copy_(golden.input(f"logits.{index}"))
        groups.append(group)
        masks.append(group.draw(golden.input(f"gumbel.{index}"), float(golden.note("tau")))[0])
    mask = torch.cat(masks, dim=1)
    if mask.shape[1] != depth:
        raise BadRequest(f"{golden.path}: its groups cover {mask.shape[1]} blocks, the model has {depth}")
    with gated(model, {stack: mask}):
        output = model(golden.input("x"), golden.input("t"), golden.input("y"))
    noise = golden.input("noise")
    loss = (output * torch.cat([noise] * (output.shape[1] // noise.shape[1]), dim=1)).mean()
    found = {"forward": output.detach()}
    logits = torch.autograd.grad(loss, [group.logits for group in groups], retain_graph=True)
    found |= {f"grad.logits.{index}": gradient for index, gradient in enumerate(logits)}
    return found | gradients(golden, model, loss, skip=found)
