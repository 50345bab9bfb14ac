"""The one function that cuts a model."""

import copy
import re
from typing import TypeVar

import torch
from torch import nn

from tinylab.errors import BadRequest
from tinylab.models.adapters.adapted import AdaptedTransformer
from tinylab.models.adapters.examine import sketch_transformer
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.pruning.plan import DepthPlan

__all__ = ["apply_plan"]

Model = TypeVar("Model", bound=Denoiser)


def apply_plan(model: Model, plan: DepthPlan) -> Model:
    """A new model with only the kept blocks, weights copied, that remembers what it was cut from.

    Indices in the new model's config always refer to the very first model, however often it was cut.

    Raises:
        BadRequest: the plan is for other stacks or depths, or leaves out a block that must stay.
    """
    plan.check_fits(model.stack_depths())
    for stack, indices in protected_blocks(model).items():
        gone = [index for index in indices if index not in plan.kept[stack]]
        if gone:
            raise BadRequest(f"block {gone[0]} of {stack!r} must stay; keep it in place of another")
    if isinstance(model, AdaptedTransformer):
        return _cut_transformer(model, plan)  # type: ignore[return-value]  # of the same class
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


def _cut_transformer(model: AdaptedTransformer, plan: DepthPlan) -> AdaptedTransformer:
    """The same for a transformer of diffusers. Copied without the blocks that go, so that tables and other things
    that its class keeps outside the weights come along."""
    transformer = model.transformer
    changes = model.architecture.config_changes(transformer.config, plan.kept)
    memo: dict[int, object] = {
        id(block): None
        for stack, blocks in model.block_stacks().items()
        for index, block in enumerate(blocks)
        if index not in plan.kept[stack]
    }
    shallow = copy.deepcopy(transformer, memo)
    for stack, indices in plan.kept.items():
        blocks = getattr(shallow, stack)
        kept = nn.ModuleList(blocks[index] for index in indices)
        kept.training = blocks.training
        setattr(shallow, stack, kept)
    shallow.register_to_config(**changes)
    found = {name: tensor.shape for name, tensor in shallow.state_dict().items()}
    wanted = {
        name: tensor.shape for name, tensor in sketch_transformer(type(shallow), shallow.config).state_dict().items()
    }
    odd = sorted(found.items() ^ wanted.items())
    if odd:
        raise BadRequest(f"{odd[0][0]} does not fit the model's config; merge or unload adapters before the cut")
    before = model.kept or {stack: list(range(count)) for stack, count in plan.depth.items()}
    return AdaptedTransformer(
        shallow,
        model.architecture,
        kept={stack: [before[stack][i] for i in indices] for stack, indices in plan.kept.items()},
        full_depth=model.full_depth or dict(plan.depth),
    ).train(model.training)
