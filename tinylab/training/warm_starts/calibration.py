"""The noised images that warm starts look at."""

from __future__ import annotations

from collections.abc import Iterator

from tinylab.metrics.denoising import NoisedBatch, noised_batches
from tinylab.training.warm_starts.base import WarmUp

__all__ = ["SAMPLES", "calibration_batches"]

# A linear map of D channels has D + 1 unknowns for each, and a token gives one equation. At 64 tokens of each image,
# 512 of them give 28 equations for every unknown of the widest published DiT (1152 channels); the built-in models, with
# 16 tokens and 64 channels, get 126. The gates vary with image and time only: 512 of these, as the criteria look at.
SAMPLES = 512
_AT_ONCE = 64  # images of one forward pass: the hidden states of many blocks are held at a time


def calibration_batches(given: WarmUp) -> Iterator[NoisedBatch]:
    """`SAMPLES` training images, with noise over all times, a few at a time and always the same for one seed."""
    device = next(given.teacher.parameters()).device
    for batch in noised_batches(given.objective, given.data, SAMPLES, given.config.seed, device):
        for first in range(0, len(batch.x), _AT_ONCE):
            rows = slice(first, first + _AT_ONCE)
            yield NoisedBatch(batch.x[rows], batch.y[rows], batch.draw[rows])
