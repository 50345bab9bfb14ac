"""How long every block of a model takes in a forward pass."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

import torch
from torch import nn

from tinylab.metrics.cost import synchronised_time

__all__ = ["block_seconds"]

_ROUNDS, _WARM_UP = 7, 2


@torch.no_grad()
def block_seconds(
    stacks: Mapping[str, nn.ModuleList],
    forward: Callable[[], object],
    *,
    rounds: int = _ROUNDS,
    clock: Callable[[], float] = synchronised_time,
) -> dict[str, list[float]]:
    """Median seconds of every block per stack while `forward` runs the model.

    Blocks of one class with equally many weights do equal work: all get the median of all their times, so that noise
    does not decide between equals.
    """
    times: dict[nn.Module, list[float]] = {block: [] for blocks in stacks.values() for block in blocks}
    began: dict[nn.Module, float] = {}

    def start(block: nn.Module, args: object) -> None:
        began[block] = clock()

    def end(block: nn.Module, args: object, output: object) -> None:
        times[block].append(clock() - began[block])

    hooks = [handle for b in times for handle in (b.register_forward_pre_hook(start), b.register_forward_hook(end))]
    try:
        for _ in range(_WARM_UP + rounds):
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    kinds: dict[tuple[type, int], list[float]] = {}
    for block, seconds in times.items():
        kinds.setdefault(_kind(block), []).extend(seconds[_WARM_UP:])
    return {stack: [statistics.median(kinds[_kind(block)]) for block in blocks] for stack, blocks in stacks.items()}


def _kind(block: nn.Module) -> tuple[type, int]:
    return type(block), sum(p.numel() for p in block.parameters())
