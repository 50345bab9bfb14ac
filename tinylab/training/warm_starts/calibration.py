"""The noised images that warm starts are computed from."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from tinylab.metrics.denoising import NoisedBatch, noised_batches
from tinylab.training.warm_starts.base import WarmUp

__all__ = ["SAMPLES", "Call", "calibration_batches", "watched"]

# A linear map of D channels has D + 1 unknowns for each, and a token gives one equation. At 64 tokens of each image,
# 512 of them give 28 equations for every unknown of the widest published DiT (1152 channels); the built-in models, with
# 16 tokens and 64 channels, get 126. The gates vary with image and time only: 512 of these, as for the criteria.
SAMPLES = 512
_AT_ONCE = 64  # images of one forward pass: the hidden states of many blocks are held at a time


def calibration_batches(given: WarmUp) -> Iterator[NoisedBatch]:
    """`SAMPLES` training images, with noise over all times, a few at a time and always the same for one seed."""
    device = next(given.teacher.parameters()).device
    for batch in noised_batches(given.objective, given.data, SAMPLES, given.config.seed, device):
        for first in range(0, len(batch.x), _AT_ONCE):
            rows = slice(first, first + _AT_ONCE)
            yield NoisedBatch(batch.x[rows], batch.y[rows], batch.draw[rows])


@dataclass(frozen=True)
class Call:
    """One call of a module: its arguments by position and by name, and what it returned."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any


@contextlib.contextmanager
def watched(modules: Iterable[nn.Module]) -> Iterator[dict[nn.Module, Call]]:
    """Within the block, the dictionary holds the latest call of each of these modules."""
    calls: dict[nn.Module, Call] = {}

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls[module] = Call(args, kwargs, output)

    hooks = [module.register_forward_hook(hook, with_kwargs=True) for module in dict.fromkeys(modules)]
    try:
        yield calls
    finally:
        for handle in hooks:
            handle.remove()
