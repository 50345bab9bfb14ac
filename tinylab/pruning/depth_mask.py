"""Learnable depth masks (TinyFusion: Fang et al. 2024, arXiv:2412.01199).

Each group of M consecutive blocks has a categorical over its C(M, N) masks; one budget for the whole model has a
logit for every block (see `budget_mask`). One mask is drawn per sample.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tinylab.config.choices import ESTIMATORS
from tinylab.pruning.estimators import gumbel_noise
from tinylab.pruning.layout import Layout
from tinylab.pruning.verdict import GroupState

__all__ = ["INITIAL_LOGIT", "DepthMask", "Drawn", "MaskDistribution", "MaskGroup"]

INITIAL_LOGIT = 0.02


@dataclass(frozen=True)
class Drawn:
    """Masks of N samples.

    Attributes:
        masks: (N, depth) per stack, exactly 0 or 1.
        log_probability: of each sample's masks, (N,), with a gradient for the logits.
    """

    masks: dict[str, Tensor]
    log_probability: Tensor


class MaskDistribution(nn.Module, ABC):
    """The distribution over masks that a search learns. Logits stay in fp32: in bf16 small steps are rounded away."""

    @abstractmethod
    def draw(self, count: int, tau: float, generator: torch.Generator, *, estimator: str = "gumbel") -> Drawn:
        """A mask for each of `count` samples."""

    @abstractmethod
    def keep_probabilities(self) -> dict[str, Tensor]:
        """Probability of every block to be kept, (depth,) per stack."""

    @abstractmethod
    def decision(self) -> dict[str, tuple[int, ...]]:
        """The blocks of the most probable mask."""

    @abstractmethod
    def states(self) -> dict[str, GroupState]:
        """What every group has learned, by its name."""

    @abstractmethod
    def prefer(self, scores: Mapping[str, Sequence[float]]) -> None:
        """Let the most probable mask be the one whose kept blocks have the largest sum of `scores` (per stack)."""


class MaskGroup(nn.Module):
    """The categorical over the masks of one group of blocks.

    Args:
        options: 0/1 masks, (C, M).
        scaling: factor on the logits, which start at 0.02 and move slowly.
    """

    options: Tensor
    seen: Tensor

    def __init__(self, options: Sequence[Sequence[int]], scaling: float) -> None:
        super().__init__()
        self.scaling = scaling
        self.logits = nn.Parameter(torch.full((1, len(options)), INITIAL_LOGIT))
        self.register_buffer("options", torch.tensor(options, dtype=torch.float32), persistent=False)
        self.register_buffer("seen", torch.zeros(len(options)))

    def draw(self, noise: Tensor, tau: float, *, estimator: str = "gumbel") -> tuple[Tensor, Tensor]:
        """Masks (N, M), exactly 0 or 1, and their log probabilities (N,); Gumbel `noise` is (N, C)."""
        # P(option) = softmax(scaling * logits). AdamW moves a logit by about its learning rate a step, 1e-3: scaled by
        # 100 that is 0.1 in log-odds, enough to decide within some hundreds of steps, and the weights can have theirs.
        scaled = self.scaling * self.logits
        chosen = ESTIMATORS.get(estimator)(scaled, noise, tau)
        hard = chosen.detach().round()  # D - y + y misses 0 and 1 by rounding
        if self.training:
            self.seen += hard.sum(dim=0)
        # m = D @ options: one-hot (N, C) times all 0/1 masks (C, M) (TinyFusion, section 3).
        return chosen @ self.options, (hard * scaled.log_softmax(dim=1)).sum(dim=1)

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        """Probability of every option, (C,). The temperature does not change which option is the largest."""
        return (self.scaling * self.logits[0]).softmax(dim=0)

    @torch.no_grad()
    def state(self) -> GroupState:
        """How decided the group is; the average over steps has drawn nothing itself."""
        p = self.probabilities()
        return GroupState(
            confidence=p.max().item(),
            entropy=torch.special.entr(p).sum().item() / math.log(max(2, len(p))),  # -sum p log p, at most log C
            moved=self.scaling * (self.logits - self.logits.mean()).abs().max().item(),
            unseen=(self.seen == 0).float().mean().item(),
            options=tuple(p.tolist()),
        )


class DepthMask(MaskDistribution):
    """A categorical for every group of a layout with local groups.

    Args:
        layout: the groups.
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
        self.layout = layout
        self.groups = nn.ModuleDict({stack: nn.ModuleList() for stack in layout.depth})
        for group in layout.groups:
            stack = group.blocks[0][0]
            cast(nn.ModuleList, self.groups[stack]).append(MaskGroup(group.options(protected or {}), scaling))

    def stacks(self) -> dict[str, list[MaskGroup]]:
        """The groups of every stack, in order."""
        return {
            stack: cast(list[MaskGroup], list(cast(nn.ModuleList, groups))) for stack, groups in self.groups.items()
        }

    def named_groups(self) -> dict[str, MaskGroup]:
        """The groups by the names of the layout."""
        groups = [group for several in self.stacks().values() for group in several]
        return {described.name: group for described, group in zip(self.layout.groups, groups, strict=True)}

    def draw(self, count: int, tau: float, generator: torch.Generator, *, estimator: str = "gumbel") -> Drawn:
        """A mask per sample for every stack, (N, depth)."""
        masks, total = {}, torch.zeros(())
        for stack, groups in self.stacks().items():
            parts = []
            for group in groups:
                noise = gumbel_noise((count, group.logits.shape[1]), generator).to(group.logits.device)
                part, log_probability = group.draw(noise, tau, estimator=estimator)
                parts.append(part)
                total = total.to(part.device) + log_probability  # groups are independent: log p is a sum
            masks[stack] = torch.cat(parts, dim=1)
        return Drawn(masks, total)

    @torch.no_grad()
    def keep_probabilities(self) -> dict[str, Tensor]:
        """Probability of every block to be kept, (depth,) per stack."""
        return {
            stack: torch.cat([group.probabilities() @ group.options for group in groups])  # E[m]; adds up to N a group
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

    def states(self) -> dict[str, GroupState]:
        """What every group has learned, by its name."""
        return {name: group.state() for name, group in self.named_groups().items()}

    @torch.no_grad()
    def prefer(self, scores: Mapping[str, Sequence[float]]) -> None:
        """The logit of every option becomes the sum of its blocks' scores."""
        for described, group in zip(self.layout.groups, self.named_groups().values(), strict=True):
            blocks = torch.tensor([scores[stack][i] for stack, i in described.blocks], dtype=torch.float32)
            group.logits.copy_((group.options @ blocks.to(group.options.device)).unsqueeze(0))
