"""Learnable depth masks (TinyFusion: Fang et al. 2024, arXiv:2412.01199).

Each group of M consecutive blocks has a categorical over its C(M, N) masks. A straight-through Gumbel-softmax
draws one mask per sample.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from tinylab.pruning.layout import Layout

__all__ = ["DepthMask", "MaskGroup", "gumbel_noise"]

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
        layout: the groups; local ones.
        protected: indices per stack of blocks that every mask keeps.
    """

    def __init__(
        self,
        layout: Layout,
        scaling: float = 100.0,
        *,
        protected: Mapping[str, Collection[int]] | None = None,
    ) -> None:
        super().__init__()
        self.groups = nn.ModuleDict({stack: nn.ModuleList() for stack in layout.depth})
        for group in layout.groups:
            stack = group.blocks[0][0]
            cast(nn.ModuleList, self.groups[stack]).append(MaskGroup(group.options(protected or {}), scaling))

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
