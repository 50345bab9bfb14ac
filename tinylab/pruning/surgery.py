"""The one function that cuts a model."""

from __future__ import annotations

import re

import torch

from tinylab.models.base import Denoiser
from tinylab.pruning.plan import DepthPlan

__all__ = ["apply_plan"]


def apply_plan(model: Denoiser, plan: DepthPlan) -> Denoiser:
    """A new model with only the kept blocks, weights copied, that remembers what it was cut from.

    Indices in the new model's config always refer to the very first model, however often it was cut.

    Raises:
        BadRequest: the plan is for other stacks or depths.
    """
    plan.check_fits(model.stack_depths())
    config = {key: value for key, value in model.config.items() if not key.startswith("_")}
    before = config.get("kept") or {stack: list(range(count)) for stack, count in plan.depth.items()}
    config["full_depth"] = config.get("full_depth") or dict(plan.depth)
    config["kept"] = {stack: [before[stack][i] for i in indices] for stack, indices in plan.kept.items()}
    config |= {model.depth_keys[stack]: len(indices) for stack, indices in plan.kept.items()}
    with torch.device("meta"):
        shallow = type(model)(**config)
    state = {}
    for name, tensor in model.state_dict().items():
        new_name = _rename(name, plan)
        if new_name:
            state[new_name] = tensor.clone()
    shallow.load_state_dict(state, strict=True, assign=True)
    return shallow.train(model.training)


def _rename(name: str, plan: DepthPlan) -> str | None:
    """The name of a tensor after the cut, None if its block goes."""
    for stack, indices in plan.kept.items():
        match = re.fullmatch(rf"{re.escape(stack)}\.(\d+)\.(.+)", name)
        if match:
            index = int(match[1])
            return f"{stack}.{indices.index(index)}.{match[2]}" if index in indices else None
    return name
