"""Noised samples that criteria measure with, and the loss of a model with some blocks left out."""

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from tinylab.errors import BadRequest
from tinylab.metrics.denoising import NoisedBatch, noised_batches
from tinylab.pruning.criteria.base import Request
from tinylab.pruning.gates import without_blocks

__all__ = ["Calibration", "calibration_batches"]


def calibration_batches(request: Request) -> list[NoisedBatch]:
    """`request.samples` images of the training data with noise over all times; BadRequest without data."""
    if request.data is None:
        raise BadRequest("this method needs data; name some with --data")
    device = next(request.model.parameters()).device
    return list(noised_batches(request.objective, request.data, request.samples, request.seed, device))


class Calibration:
    """Runs a model with some blocks left out, always on the same samples, times and noise.

    Args:
        runs: how many times the model will run on all samples, for progress.
    """

    def __init__(self, request: Request, runs: int) -> None:
        self.request, self.runs, self.done = request, runs, 0
        self.model = request.model.eval()
        self.batches = calibration_batches(request)
        self._known: dict[tuple[tuple[int, ...], ...], float] = {}

    @torch.no_grad()
    def loss(self, kept: Mapping[str, Collection[int]]) -> float:
        """Mean training loss with only the `kept` blocks, infinite where it is no number.

        A choice of blocks that was asked for before is not computed again.
        """
        key = tuple(tuple(sorted(kept[stack])) for stack in self.request.depth)
        if key not in self._known:
            with without_blocks(self.model, kept):
                losses = [
                    self.request.objective.losses(self.model, b.x, b.y, b.draw).loss.double() for b in self.batches
                ]
            loss = torch.cat(losses).mean().item()
            self._known[key] = math.inf if math.isnan(loss) else loss  # so that it can be ranked
        self._count()
        return self._known[key]

    @torch.no_grad()
    def outputs(self, kept: Mapping[str, Collection[int]]) -> list[Tensor]:
        """The model's output for every batch with only the `kept` blocks."""
        with without_blocks(self.model, kept):
            outputs = [self.request.objective.forward(self.model, b.x, b.y, b.draw) for b in self.batches]
        self._count()
        return outputs

    def _count(self) -> None:
        self.done += 1
        self.request.progress(min(self.done, self.runs), self.runs)
