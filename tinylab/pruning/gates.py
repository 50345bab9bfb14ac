"""Gates that apply masks to the blocks of any model: where the mask is 0 a block is the identity,
x = m f(x) + (1 - m) x (TinyFusion: Fang et al. 2024, arXiv:2412.01199)."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.models.block_form import PLAIN, block_forms, protected_blocks, restored_forwards
from tinylab.pruning.batch_rows import choose_rows
from tinylab.pruning.block_gate import Bypass, DenseGate, SkipGate

__all__ = ["WAYS", "Way", "gated", "without_blocks"]

Way = Literal["dense", "exact", "sampled"]
WAYS: tuple[Way, ...] = get_args(Way)


@contextlib.contextmanager
def gated(
    model: Denoiser,
    masks: Mapping[str, Tensor],
    *,
    way: Way = "exact",
    share: float = 0.25,
    generator: torch.Generator | None = None,
) -> Iterator[None]:
    """Within the block, every transformer block of `model` is applied through its column of `masks` (N, depth).

    Blocks that must stay are left alone. The backward pass may come after the block, unless the model recomputes
    its activations there.

    Ways:
        dense: the published formula, every block for every sample.
        exact: a block runs with autograd for the samples that keep it, and without for those that drop it (see
            `SkipGate`). Outputs and all gradients are those of the dense way.
        sampled: of those that drop it only a random `share` runs, weighted to stand for all. Outputs and gradients of
            the weights are the same; those of the masks are unbiased.

    Masks without a gradient need no dropped sample at all: the last two ways only run what is kept.

    There is one synchronisation per step, at the draw: the masks of all blocks come to the CPU in one transfer when
    the context is entered, and indices go back in one. Nothing waits for the device within the blocks.

    With DistributedDataParallel, masks must be drawn and applied inside the forward of the wrapped module, which
    also holds the logits and returns the loss, and it needs `find_unused_parameters=True`: a block that all samples
    of a process drop has no gradient there, while another process may have one. Each process draws from a generator
    of its own.

    Args:
        share: part of the dropped samples of a block that runs in the sampled way, above 0 and at most 1.
        generator: what the sampled way draws them from, on the CPU.

    Raises:
        BadRequest: a mask has no column for each block, leaves out a block that must stay, or is neither 0 nor 1
            (the dense way takes soft ones); the model recomputes its activations; the sampled way has no generator
            on the CPU; the share is out of range.
    """
    if getattr(model, "is_gradient_checkpointing", False):
        raise BadRequest("gates do not survive gradient checkpointing; call disable_gradient_checkpointing() first")
    _check_way(way, share, generator)
    gates = list(_gates(model, masks, way, share, generator))
    with restored_forwards(block for block, _ in gates):
        for block, gate in gates:
            block.forward = gate  # type: ignore[method-assign]
        yield


def _check_way(way: str, share: float, generator: torch.Generator | None) -> None:
    if way not in WAYS:
        raise BadRequest(f"unknown way {way!r} of gating; use {', '.join(WAYS)}")
    if way == "sampled" and (generator is None or generator.device.type != "cpu"):
        raise BadRequest("the sampled way of gating draws at random: give it a generator on the CPU")
    if not 0 < share <= 1:
        raise BadRequest(f"a share of {share} of the dropped samples cannot run; use one above 0 and at most 1")


def _gates(
    model: Denoiser, masks: Mapping[str, Tensor], way: Way, share: float, generator: torch.Generator | None
) -> Iterator[tuple[nn.Module, DenseGate]]:
    """The blocks that need not stay, each with its gate."""
    forms, protected, stacks = block_forms(model), protected_blocks(model), model.block_stacks()
    for stack, blocks in stacks.items():
        if stack not in masks or masks[stack].shape[1:] != (len(blocks),):
            raise BadRequest(f"{stack!r} needs masks of the shape (samples, {len(blocks)}), one column a block")
    together = torch.cat([masks[stack].detach() for stack in stacks], dim=1)  # (N, blocks)
    # A mask decides which kernels run on how many samples, so the CPU must know it; blocks asking one by one would make
    # the device idle at every block.
    fetched = together.cpu()  # the one wait for the device
    if way != "sampled":
        share, generator = 1.0, None
    # A dense gate has no rows, and its masks may be soft.
    rows = None if way == "dense" else iter(choose_rows(fetched, together.device, share=share, generator=generator))
    dropped: Iterator[bool] = iter((fetched < 0.5).any(dim=0).tolist())
    for stack, blocks in stacks.items():
        form = forms.get(stack, PLAIN)
        for index, (block, mask) in enumerate(zip(blocks, masks[stack].unbind(dim=1), strict=True)):
            own_rows, is_dropped = next(rows) if rows else None, next(dropped)
            if index not in protected.get(stack, ()):
                yield block, SkipGate(block, mask, form, own_rows) if own_rows else DenseGate(block, mask, form)
            elif is_dropped:
                raise BadRequest(f"block {index} of {stack!r} must stay: give it a mask of ones")


@contextlib.contextmanager
def without_blocks(model: Denoiser, kept: Mapping[str, Collection[int]]) -> Iterator[None]:
    """Within the block, only the `kept` blocks of every stack work; the others let everything through."""
    forms, stacks = block_forms(model), model.block_stacks()
    gone = [(stack, b) for stack, blocks in stacks.items() for i, b in enumerate(blocks) if i not in kept[stack]]
    with restored_forwards(block for _, block in gone):
        for stack, block in gone:
            block.forward = Bypass(block, forms.get(stack, PLAIN))  # type: ignore[method-assign]
        yield
