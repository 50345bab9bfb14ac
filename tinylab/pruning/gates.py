"""Gates that apply masks to the blocks of any model: where the mask is 0 a block is the identity,
x = m f(x) + (1 - m) x (TinyFusion: Fang et al. 2024, arXiv:2412.01199)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.models.block_form import PLAIN, block_forms, protected_blocks
from tinylab.pruning.block_gate import Bypass, DenseGate, SkipGate

__all__ = ["gated", "without_blocks"]


@contextlib.contextmanager
def gated(model: Denoiser, masks: Mapping[str, Tensor], *, skip: bool = True) -> Iterator[None]:
    """Within the block, every transformer block of `model` is applied through its column of `masks` (N, depth).

    Blocks that must stay are left alone. The backward pass may come after the block, unless the model recomputes
    its activations there.

    Args:
        skip: run a block with autograd only for the samples that keep it (see `SkipGate`); False is the dense
            published formula. Outputs and all gradients are equal.

    Raises:
        BadRequest: a mask leaves out a block that must stay; the model recomputes its activations.
    """
    if getattr(model, "is_gradient_checkpointing", False):
        raise BadRequest("gates do not survive gradient checkpointing; call disable_gradient_checkpointing() first")
    gate = SkipGate if skip else DenseGate
    forms, protected = block_forms(model), protected_blocks(model)
    with contextlib.ExitStack() as undo:
        for stack, stack_blocks in model.block_stacks().items():
            for index, block in enumerate(stack_blocks):
                mask = masks[stack][:, index]
                if index in protected.get(stack, ()):
                    if (mask.detach() < 0.5).any():
                        raise BadRequest(f"block {index} of {stack!r} must stay: give it a mask of ones")
                    continue
                _replace_forward(block, gate(block, mask, forms.get(stack, PLAIN)), undo)
        yield


@contextlib.contextmanager
def without_blocks(model: Denoiser, kept: Mapping[str, Collection[int]]) -> Iterator[None]:
    """Within the block, only the `kept` blocks of every stack work; the others let everything through."""
    forms = block_forms(model)
    with contextlib.ExitStack() as undo:
        for stack, blocks in model.block_stacks().items():
            for index, block in enumerate(blocks):
                if index not in kept[stack]:
                    _replace_forward(block, Bypass(block, forms.get(stack, PLAIN)), undo)
        yield


def _replace_forward(block: nn.Module, forward: Callable[..., Any], undo: contextlib.ExitStack) -> None:
    """Put `forward` in place of the block's until `undo` is closed."""
    undo.callback(_put_back, block, block.__dict__.get("forward"))
    block.forward = forward  # type: ignore[method-assign]


def _put_back(block: nn.Module, forward: Callable[..., Any] | None) -> None:
    block.__dict__.pop("forward", None)
    if forward is not None:  # hooks of other libraries sit there too
        block.forward = forward  # type: ignore[method-assign]
