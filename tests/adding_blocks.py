"""A model whose loss can be worked out by hand: every block adds one number to every pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tinylab.data.digits import load_digits
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.pruning.criteria import CRITERIA, Choice, Request
from tinylab.pruning.layout import Layout

__all__ = ["SAMPLES", "TRAP", "Sum", "choose", "request"]

SAMPLES = 8
TRAP = (10.0, -9.0, 3.0, -3.5)  # sums of two: 1, 13, 6.5, -6, -12.5, -0.5; greedy removal ends at 1


class Add(nn.Module):
    """A block that adds a number to everything."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor(float(number)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.number


class Sum(nn.Module):
    """Predicts the sum of its blocks' numbers as the noise of every pixel, and counts how often it is asked."""

    def __init__(self, *numbers: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Add(number) for number in numbers)
        self.asked = 0

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        return {"blocks": self.blocks}

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        self.asked += 1
        h = torch.zeros_like(x)
        for block in self.blocks:
            h = block(h)
        return h


def request(model: Any, pattern: str | int = 2, **changes: Any) -> Request:
    """To keep so many blocks of a model of one stack, or as a pattern says, by a few samples."""
    depth = {"blocks": len(model.blocks)}
    layout = Layout.parse(pattern, depth) if isinstance(pattern, str) else Layout.budget(pattern, depth)
    given = {"objective": GaussianDiffusion(), "data": load_digits()[0], "samples": SAMPLES, **changes}
    return Request(model, layout, **given)


def choose(method: str, *numbers: float, pattern: str | int = 2, **changes: Any) -> Choice:
    """What a method chooses of blocks that add these numbers."""
    return CRITERIA.get(method)(request(Sum(*numbers), pattern, **changes))
