"""Snapshots on the way of a training: samples from the same noise every time, and how good they are."""

import torch

from tinylab.config import FinetuneConfig
from tinylab.data.base import Dataset
from tinylab.diffusion import Objective
from tinylab.jobs.context import JobContext
from tinylab.metrics.digit_fidelity import DigitFidelity
from tinylab.models.base import Denoiser
from tinylab.models.load import load_reader
from tinylab.runs.run import SNAPSHOTS
from tinylab.sampling import samplers_of
from tinylab.sampling.generate import Settings, generate
from tinylab.sampling.images import grid_png, to_uint8
from tinylab.training.recorder import StepRecord

__all__ = ["Snapshots", "few_steps"]

_SHOWN = 10  # samples in a picture
_STEPS = 20


def few_steps(family: str, *, guidance: float, seed: int = 0) -> Settings:
    """Few steps from fixed noise, random at the start alone where the family can: one picture's way through a training,
    and samples to compare models by."""
    return Settings("ddim" if "ddim" in samplers_of(family) else "auto", steps=_STEPS, guidance=guidance, seed=seed)


class Snapshots:
    """Draws and scores a model every `snapshot_every` steps, and at the end.

    Pictures are guided, as people draw; scores are of unguided samples, which should be distributed like the data.
    """

    def __init__(
        self, config: FinetuneConfig, context: JobContext, objective: Objective, model: Denoiser, real: Dataset
    ) -> None:
        self.config, self.context, self.objective = config, context, objective
        reader = load_reader(model) if config.snapshot_every and config.scored_samples else None
        self.fidelity = DigitFidelity(reader, real) if reader else None

    def due(self, step: int) -> bool:
        """Whether this step gets a snapshot."""
        every = self.config.snapshot_every
        return bool(every) and (step % every == 0 or step == self.config.steps)

    def show(self, model: Denoiser, step: int) -> None:
        """Take the snapshot of a step."""
        classes = torch.arange(model.num_classes)[:_SHOWN]
        images = generate(model, self.objective, classes, few_steps(model.family, guidance=1.5))
        picture = grid_png(to_uint8(images), len(classes), scale=6)
        self.context.artifact(f"{SNAPSHOTS}/{step:07d}.png", picture)
        if self.fidelity:
            labels = torch.arange(self.config.scored_samples) % model.num_classes
            samples = generate(model, self.objective, labels, few_steps(model.family, guidance=1.0))
            scores = self.fidelity.scores(samples, labels)
            named = {"kernel_distance": scores.kernel_distance, "read_correctly": scores.read_correctly}
            self.context.record(step, StepRecord(named))
