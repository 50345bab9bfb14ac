"""What a model costs: weights and time, models always measured in turn in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

__all__ = ["count_parameters", "interleaved_seconds"]


def count_parameters(model: nn.Module) -> int:
    """Number of weights, the fixed positions included."""
    return sum(p.numel() for p in model.parameters())


def interleaved_seconds(
    work: Mapping[str, Callable[[], object]], *, rounds: int = 5, budget: float = 8.0
) -> dict[str, list[float]]:
    """Seconds of each piece of work, in turn A B A B …, so that drifts of the machine's speed hit all alike.

    At least one round, at most `rounds`; none is begun after `budget` seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    began = time.perf_counter()
    for done in range(rounds):
        if done and time.perf_counter() - began > budget:
            break
        for name, piece in work.items():
            start = time.perf_counter()
            piece()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return seconds
