"""Training the digit reader."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tinylab.config import TrainConfig
from tinylab.data.digits import ImageSplit
from tinylab.data.order import batch_indices, step_generator
from tinylab.models.networks.reader import DigitReader
from tinylab.training.ema import Ema
from tinylab.training.recorder import StepRecord
from tinylab.training.task import Task

__all__ = ["ClassifyTask"]


@dataclass(frozen=True)
class LabelledImages:
    """Images (n, 1, 8, 8) and their classes (n,)."""

    x: Tensor
    y: Tensor

    def to(self, device: torch.device) -> LabelledImages:
        """The same on another device."""
        return LabelledImages(self.x.to(device), self.y.to(device))


class ClassifyTask(Task):
    """Cross-entropy on digits that are shifted by up to a pixel and lightly noised, so that it reads, not remembers."""

    def __init__(self, model: DigitReader, data: ImageSplit, config: TrainConfig) -> None:
        self.model, self.data, self.config = model.train(), data, config
        self.device = next(model.parameters()).device
        self.peak_rate = config.lr
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01)
        self.ema = Ema(model, config.ema_decay)
        self.modules = {"model": model, "ema": self.ema.module}

    def batch(self, step: int, rows: slice) -> LabelledImages:
        """Some of the images of a step, jittered."""
        config = self.config
        chosen = batch_indices(len(self.data), config.batch_size, config.seed, step)
        x = _jitter(self.data.images[chosen], step_generator(config.seed, step))
        return LabelledImages(x[rows], self.data.labels[chosen][rows])

    def loss(self, step: int, batch: LabelledImages) -> Tensor:
        """Mean cross-entropy with label smoothing."""
        return F.cross_entropy(self.model(batch.x), batch.y, label_smoothing=0.05)

    def after_update(self, step: int) -> None:
        """Move the averaged weights."""
        self.ema.update(self.model, step)

    def record(self, step: int, loss: float) -> StepRecord:
        """The loss."""
        return StepRecord({"loss": loss})


def _jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image (N, 1, 8, 8) by -1, 0 or 1 pixels each way (0 half of the time) and add noise."""
    side = x.shape[-1]
    padded = F.pad(x, (1, 1, 1, 1), value=-1.0)
    choices = torch.tensor([0, 1, 1, 2])
    rows, columns = choices[torch.randint(4, (2, len(x), 1), generator=generator)]
    grid = torch.arange(side)
    shifted = padded[torch.arange(len(x))[:, None, None], 0, (rows + grid)[:, :, None], (columns + grid)[:, None, :]]
    return shifted.unsqueeze(1) + 0.1 * torch.randn(x.shape, generator=generator)
