"""Learnable depth masks and the gates that apply them (TinyFusion: Fang et al. 2024, arXiv:2412.01199).

Each group of M consecutive blocks has a categorical over its C(M, N) masks. A straight-through Gumbel-softmax
draws one mask per sample; a block whose mask is 0 is the identity: x = m f(x) + (1 - m) x.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tinylab.models.base import Denoiser
from tinylab.pruning.plan import NMPattern

__all__ = ["DepthMask", "MaskGroup", "gated", "gumbel_noise"]

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
    """

    def __init__(self, depth: Mapping[str, int], pattern: NMPattern, scaling: float = 100.0) -> None:
        super().__init__()
        options = pattern.options()
        self.spans = {stack: pattern.groups(count) for stack, count in depth.items()}
        self.groups = nn.ModuleDict(
            {stack: nn.ModuleList(MaskGroup(options, scaling) for _ in spans) for stack, spans in self.spans.items()}
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


@contextlib.contextmanager
def gated(model: Denoiser, masks: Mapping[str, Tensor], *, skip: bool = True) -> Iterator[None]:
    """Within the block, every transformer block of `model` is applied through its column of `masks` (N, depth).

    Args:
        skip: run a block with autograd only for the samples that keep it (see `_Skip`); False is the dense
            published formula. Outputs and all gradients are equal.
    """
    gate = _Skip if skip else _Dense
    blocks: list[nn.Module] = []
    try:
        for stack, stack_blocks in model.block_stacks().items():
            for index, block in enumerate(stack_blocks):
                blocks.append(block)
                block.forward = gate(block.forward, masks[stack][:, index])  # type: ignore[method-assign]
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


class _Dense:
    """m f(x) + (1 - m) x, with m (N,) broadcast over everything behind the samples."""

    def __init__(self, forward: Callable[..., Tensor], mask: Tensor) -> None:
        self.forward, self.mask = forward, mask

    def __call__(self, x: Tensor, *rest: Tensor) -> Tensor:
        m = _broadcast(self.mask, x)
        return self.forward(x, *rest) * m + x * (1 - m)


class _Skip:
    """The same, without the work that has no effect.

    Where the hard mask is 0 the output is x and its gradient passes straight through; only the gradient of the
    mask needs f(x) - x, as a number. So f runs without autograd for these samples.
    """

    def __init__(self, forward: Callable[..., Tensor], mask: Tensor) -> None:
        self.forward, self.mask = forward, mask

    def __call__(self, x: Tensor, *rest: Tensor) -> Tensor:
        keep = self.mask.detach() > 0.5
        kept, dropped = keep.nonzero().squeeze(1), (~keep).nonzero().squeeze(1)
        m, out = _broadcast(self.mask, x), torch.empty_like(x)
        if len(kept):
            inside = x[kept]
            change = self.forward(inside, *(r[kept] for r in rest)) - inside
            out = out.index_copy(0, kept, inside + m[kept] * change)
        if len(dropped):
            outside = x[dropped]
            with torch.no_grad():
                change = self.forward(outside, *(r[dropped] for r in rest)) - outside
            out = out.index_copy(0, dropped, outside + m[dropped] * change)
        return out


def _broadcast(mask: Tensor, x: Tensor) -> Tensor:
    """The mask (N,) in the dtype of x, with as many axes."""
    return mask.view(-1, *[1] * (x.dim() - 1)).to(x.dtype)
