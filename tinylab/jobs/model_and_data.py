"""The full model of a job, what it was trained to do, and the data that the job is about."""

from __future__ import annotations

from dataclasses import dataclass

from tinylab.data.base import Dataset, load_data
from tinylab.diffusion import Objective, objective_for
from tinylab.jobs.facts import Facts
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.base import Denoiser
from tinylab.models.load import load_model

__all__ = ["ModelAndData"]


@dataclass(frozen=True)
class ModelAndData:
    """A loaded model with its objective, the data to learn from, and the data that no training uses."""

    model: Denoiser
    objective: Objective
    train: Dataset
    held_out: Dataset

    @classmethod
    def load(cls, model: str, data: str, device: str, facts: Facts) -> ModelAndData:
        """Load the model on `device`, and `data`: `auto` stands for the digits if the model draws them."""
        loaded = load_model(facts.model(model), device)
        train, held_out = load_data(facts.data_for(data, model))
        return cls(loaded, objective_for(loaded), train, held_out)

    def loss(self, model: Denoiser) -> float:
        """The denoising loss of a model, this one or one cut from it, on the held-out data."""
        return held_out_loss(model, self.objective, self.held_out).loss
