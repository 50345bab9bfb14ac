"""What every cell of a comparison is measured with."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cached_property

import torch

from tinylab.config import CompareConfig
from tinylab.data.base import Dataset, load_data
from tinylab.data.order import step_generator
from tinylab.diffusion import Objective, objective_for
from tinylab.metrics.cost import interleaved_seconds
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.base import Denoiser
from tinylab.models.load import load_model
from tinylab.runs.checks import data_for
from tinylab.runs.context import JobContext

__all__ = ["Bench"]

_ROUNDS = 51  # forward passes that a speed is the median of


@dataclass(frozen=True)
class Bench:
    """The full model, its data, and the job that they serve."""

    config: CompareConfig
    context: JobContext
    model: Denoiser
    objective: Objective
    train: Dataset
    held_out: Dataset

    @classmethod
    def open(cls, config: CompareConfig, context: JobContext) -> Bench:
        """Load model and data."""
        model = load_model(config.model, config.device)
        data = load_data(data_for(config.data, config.model))
        return cls(config, context, model, objective_for(model), *data)

    @cached_property
    def full_loss(self) -> float:
        """The full model's loss on held-out data."""
        return self.loss(self.model)

    def loss(self, model: Denoiser) -> float:
        """Loss on held-out data."""
        return held_out_loss(model, self.objective, self.held_out).loss

    def speedup(self, shallow: Denoiser) -> float:
        """Full model's time for a forward pass over the shallow one's: median of the ratios of passes in turn."""
        count, device = min(64, len(self.held_out)), next(shallow.parameters()).device
        x, y = (part.to(device) for part in self.held_out.take(torch.arange(count)))
        draw = self.objective.draw(count, tuple(x.shape[1:]), step_generator(0, 0)).to(device)

        def forward(model: Denoiser) -> object:
            with torch.inference_mode():
                return self.objective.forward(model, x, y, draw)

        work = {"full": lambda: forward(self.model), "shallow": lambda: forward(shallow)}
        interleaved_seconds(work, rounds=2)  # warm-up
        seconds = interleaved_seconds(work, rounds=_ROUNDS)
        return statistics.median(f / s for f, s in zip(seconds["full"], seconds["shallow"], strict=True))
