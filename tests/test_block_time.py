"""Block times: equal blocks cost the same, and nothing stays attached."""

from __future__ import annotations

import torch
from torch import nn

from tinylab.metrics.cost import block_seconds


class _Slow(nn.Module):
    """A block that takes two seconds by the clock of the test."""

    seconds = 2.0

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.clock, self.calls = clock, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.clock[0] += self.seconds + (100 if self.calls <= 2 else 0)  # the first calls are slow everywhere
        return x


class _Quick(_Slow):
    """Half a second."""

    seconds = 0.5


def test_blocks_of_a_kind_share_their_time_and_first_calls_do_not_count():
    now = [0.0]
    stacks = {"a": nn.ModuleList([_Slow(now), _Quick(now)]), "b": nn.ModuleList([_Quick(now), _Slow(now)])}

    def forward():
        x = torch.zeros(1)
        for blocks in stacks.values():
            for block in blocks:
                x = block(x)

    found = block_seconds(stacks, forward, rounds=3, clock=lambda: now[0])
    assert found == {"a": [2.0, 0.5], "b": [0.5, 2.0]}
    assert all(block.calls == 5 for blocks in stacks.values() for block in blocks)  # two to warm up
    assert not any(block._forward_hooks or block._forward_pre_hooks for blocks in stacks.values() for block in blocks)


def test_blocks_of_one_class_with_other_numbers_of_weights_are_another_kind():
    now = [0.0]
    blocks = nn.ModuleList([_Slow(now), _Slow(now), _Slow(now)])
    for block, seconds in zip(blocks, (1.0, 3.0, 7.0), strict=True):
        block.seconds = seconds
    blocks[2].extra = nn.Linear(2, 2)

    found = block_seconds({"blocks": blocks}, lambda: [block(torch.zeros(1)) for block in blocks], clock=lambda: now[0])
    assert found == {"blocks": [2.0, 2.0, 7.0]}
