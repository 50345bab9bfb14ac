"""Which images make up a step, as a pure function of (seed, step): resuming needs no saved random state."""

import torch
from torch import Tensor

__all__ = ["batch_indices", "step_generator"]


def step_generator(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """A private random generator for one step; `stream` separates uses that must not share numbers."""
    mixed = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + stream * 0x94D049BB133111EB) % 2**63
    return torch.Generator().manual_seed(mixed)


def batch_indices(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Indices (batch_size,) of the images of one step: shuffled epochs, laid end to end."""
    first = step * batch_size
    chosen: list[Tensor] = []
    while first < (step + 1) * batch_size:
        epoch, offset = divmod(first, count)
        take = min(count - offset, (step + 1) * batch_size - first)
        order = torch.randperm(count, generator=step_generator(seed, epoch, stream=1))
        chosen.append(order[offset : offset + take])
        first += take
    return torch.cat(chosen)
