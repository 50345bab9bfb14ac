"""Block times: equal blocks cost the same, and nothing stays attached."""

from __future__ import annotations

import time

import torch
from torch import nn

from tinylab.metrics.block_time import block_seconds


class _Slow(nn.Module):
    """A block that is in no hurry."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        time.sleep(0.02)
        return x


class _Quick(_Slow):
    """A block that does nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x


def test_blocks_of_a_kind_share_their_time_and_kinds_differ():
    stacks = {"a": nn.ModuleList([_Slow(), _Quick()]), "b": nn.ModuleList([_Quick(), _Slow()])}

    def forward():
        x = torch.zeros(1)
        for blocks in stacks.values():
            for block in blocks:
                x = block(x)

    found = block_seconds(stacks, forward, rounds=3)
    assert found["a"][0] == found["b"][1] and found["a"][1] == found["b"][0]
    assert found["a"][0] > found["a"][1]
    assert all(block.calls == 5 for blocks in stacks.values() for block in blocks)  # two to warm up
    assert not any(block._forward_hooks or block._forward_pre_hooks for blocks in stacks.values() for block in blocks)


def test_blocks_of_one_class_with_other_numbers_of_weights_are_another_kind():
    stacks = {"blocks": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 900)])}
    found = block_seconds(stacks, lambda: [block(torch.zeros(1, 2)) for block in stacks["blocks"]])
    assert found["blocks"][0] == found["blocks"][1] != found["blocks"][2]
