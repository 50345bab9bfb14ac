"""Learnable depth masks and the gates that apply them (TinyFusion: Fang et al. 2024, arXiv:2412.01199).

Each group of M consecutive blocks has a categorical over its C(M, N) masks. A straight-through Gumbel-softmax
draws one mask per sample; a block whose mask is 0 is the identity: x = m f(x) + (1 - m) x.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.models.block_form import PLAIN, block_forms, protected_blocks
from tinylab.pruning.block_gate import Bypass, DenseGate, SkipGate
from tinylab.pruning.plan import NMPattern

__all__ = ["DepthMask", "MaskGroup", "gated", "gumbel_noise", "without_blocks"]

_INITIAL_LOGIT = 0.02


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, float32."""
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).clamp_(1e-12, 1 - 1e-12)
    return -torch.log(-torch.log(uniform)).float()


class MaskGroup(nn.Module):
    """The categorical over the masks of one group of blocks. Logits stay in fp32: in bf16 they stand still.

    Args:
        options: 0/1 masks, (C, M).
        scaling: factor on the logits, which start at 0.02 and move slowly.
    """

    options: Tensor

    def __init__(self, options: Sequence[Sequence[int]], scaling: float) -> None:
        super().__init__()
        self.scaling = scaling
        self.logits = nn.Parameter(torch.full((1, len(options)), _INITIAL_LOGIT))
        self.register_buffer("options", torch.tensor(options, dtype=torch.float32), persistent=False)

    def draw(self, gumbel: Tensor, tau: float) -> Tensor:
        """Masks (N, M), exactly 0 or 1, whose gradient is that of the softmax; `gumbel` is (N, C)."""
        soft = ((self.scaling * self.logits + gumbel) / tau).softmax(dim=1)
        hard = torch.zeros_like(soft).scatter_(1, soft.argmax(dim=1, keepdim=True), 1.0)
        return (hard - soft.detach() + soft) @ self.options

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        """Probability of every option, (C,). The temperature does not change which option is the largest."""
        return (self.scaling * self.logits[0]).softmax(dim=0)


class DepthMask(nn.Module):
    """All groups of a model: the thing that the search learns.

    Args:
        depth: blocks per stack; every stack is cut into groups by the same pattern.
        protected: indices per stack of blocks that every mask keeps.

    Raises:
        BadRequest: a group has more blocks that must stay than the pattern keeps.
    """

    def __init__(
        self,
        depth: Mapping[str, int],
        pattern: NMPattern,
        scaling: float = 100.0,
        *,
        protected: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        super().__init__()
        self.spans = {stack: pattern.groups(count) for stack, count in depth.items()}
        fixed = protected or {}
        self.groups = nn.ModuleDict(
            {
                stack: nn.ModuleList(MaskGroup(_options(pattern, s, fixed.get(stack, ())), scaling) for s in spans)
                for stack, spans in self.spans.items()
            }
        )

    def stacks(self) -> dict[str, list[MaskGroup]]:
        """The groups of every stack, in order."""
        return {
            stack: cast(list[MaskGroup], list(cast(nn.ModuleList, groups))) for stack, groups in self.groups.items()
        }

    def draw(self, count: int, tau: float, generator: torch.Generator) -> dict[str, Tensor]:
        """A mask per sample for every stack, (N, depth)."""
        masks = {}
        for stack, groups in self.stacks().items():
            parts = []
            for group in groups:
                noise = gumbel_noise((count, group.logits.shape[1]), generator).to(group.logits.device)
                parts.append(group.draw(noise, tau))
            masks[stack] = torch.cat(parts, dim=1)
        return masks

    @torch.no_grad()
    def keep_probabilities(self) -> dict[str, Tensor]:
        """Probability of every block to be kept, (depth,) per stack."""
        return {
            stack: torch.cat([group.probabilities() @ group.options for group in groups])
            for stack, groups in self.stacks().items()
        }

    @torch.no_grad()
    def decision(self) -> dict[str, tuple[int, ...]]:
        """The blocks of the most probable option of every group."""
        kept: dict[str, tuple[int, ...]] = {}
        for stack, groups in self.stacks().items():
            mask = torch.cat([group.options[group.logits[0].argmax()] for group in groups])
            kept[stack] = tuple(mask.nonzero().flatten().tolist())
        return kept


def _options(pattern: NMPattern, span: range, protected: Collection[int]) -> list[tuple[int, ...]]:
    """The masks of the group `span` that keep its protected blocks."""
    fixed = [index - span.start for index in protected if index in span]
    options = [option for option in pattern.options() if all(option[i] for i in fixed)]
    if not options:
        raise BadRequest(
            f"pattern {pattern} cannot keep all {len(fixed)} blocks of {span.start} to {span.stop - 1} that must stay; "
            "use one that keeps more"
        )
    return options


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
