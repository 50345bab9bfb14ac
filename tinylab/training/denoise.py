"""Training a model on its own objective: how teachers are made and, with fewer layers, how they recover."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tinylab.config import CompareConfig, FinetuneConfig, TrainConfig
from tinylab.data.base import Dataset
from tinylab.diffusion import Objective
from tinylab.models.base import Denoiser
from tinylab.training.batches import TrainBatch, denoise_batch
from tinylab.training.ema import Ema
from tinylab.training.recorder import StepRecord
from tinylab.training.task import Task

__all__ = ["DenoiseTask"]


class DenoiseTask(Task):
    """Minimise the objective on images, with a cosine schedule and averaged weights.

    Args:
        floor: the learning rate at the end, as a share of the largest one.
        rate: the largest learning rate; `config.lr` by default.
        on_step: called with the step number after every update, for snapshots.
    """

    def __init__(
        self,
        model: Denoiser,
        objective: Objective,
        data: Dataset,
        config: TrainConfig | FinetuneConfig | CompareConfig,
        *,
        floor: float,
        rate: float | None = None,
        on_step: Callable[[DenoiseTask, int], None] | None = None,
    ) -> None:
        self.model, self.objective, self.data, self.config = model.train(), objective, data, config
        self.floor, self.on_step = floor, on_step
        self.peak_rate = config.lr if rate is None else rate
        self.device = next(model.parameters()).device
        trainable = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trainable, lr=self.peak_rate, weight_decay=0.0, fused=True)
        self.ema = Ema(model, config.ema_decay)
        self.modules = {"model": model, "ema": self.ema.module}
        self._terms: dict[str, list[Tensor]] = {}

    def begin(self, step: int) -> None:
        """Set the learning rate of the step."""
        super().begin(step)
        self._terms = {}

    def batch(self, step: int, rows: slice) -> TrainBatch:
        """Some of the images of a step, classes dropped."""
        return denoise_batch(
            self.data,
            self.objective,
            seed=self.config.seed,
            step=step,
            images=self.images,
            rows=rows,
            null_class=self.model.num_classes,
            label_dropout=self.config.label_dropout,
        )

    def loss(self, step: int, batch: TrainBatch) -> Tensor:
        """The mean hybrid loss of the batch."""
        losses = self.objective.losses(self.model, batch.x, batch.y, batch.draw)
        self.note({"mse": losses.mse, "vb": losses.vb})
        return losses.loss.mean()

    def note(self, terms: Mapping[str, Tensor]) -> None:
        """Keep terms (n,) of one part of the step for its record."""
        for name, values in terms.items():
            self._terms.setdefault(name, []).append(values.detach())

    def after_update(self, step: int) -> None:
        """Move the averaged weights; take a snapshot when one is due."""
        self.ema.update(self.model, step)
        if self.on_step:
            self.on_step(self, step + 1)

    def record(self, step: int, loss: float) -> StepRecord:
        """Loss, its terms and the learning rate."""
        terms = {name: torch.cat(parts).mean().item() for name, parts in self._terms.items()}
        return StepRecord({"loss": loss, **terms, "lr": self.rate})
