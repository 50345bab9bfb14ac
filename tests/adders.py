"""A model whose best cut is known by arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinylab.models.base import Denoiser

__all__ = ["Adders"]


class _Adder(nn.Module):
    """A block that adds a constant to its input."""

    def __init__(self, constant: float) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.tensor(constant))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.constant


class Adders(Denoiser):
    """Predicts as noise the sum of its blocks' constants: zero is the best that it can do."""

    num_classes = 10

    def __init__(self, constants: list[float]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Adder(constant) for constant in constants)

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        return {"blocks": self.blocks}

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        h = torch.zeros_like(x)
        for block in self.blocks:
            h = block(h)
        return h
