"""The mask search on a transformer of diffusers, with inputs that were encoded before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tinylab.config import SearchConfig
from tinylab.data.cached import CachedInputs
from tinylab.data.order import batch_indices
from tinylab.diffusion.adapted import AdaptedObjective
from tinylab.models.adapters import AdaptedTransformer
from tinylab.training.search import SearchTask

__all__ = ["AdaptedSearchTask"]


class AdaptedSearchTask(SearchTask):
    """As `SearchTask`; the conditions are used as they are, so `label_dropout` has no effect.

    Raises:
        BadRequest: it is not known how the model is trained; the pattern does not fit its blocks.
    """

    def __init__(
        self,
        model: AdaptedTransformer,
        data: CachedInputs,
        config: SearchConfig,
        *,
        seconds: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        device = next(model.parameters()).device
        objective = AdaptedObjective.of(model.config).to(device)
        super().__init__(model, objective, data, config, seconds=seconds)  # type: ignore[arg-type]  # only `batch` looks at the data
        self.inputs = data

    def batch(self, step: int, generator: torch.Generator) -> tuple[Tensor, Any]:
        """The latents of a step and their conditions, copies in a row."""
        del generator
        chosen = batch_indices(len(self.inputs), self.images, self.config.seed, step)
        x, conditions = self.inputs.batch(chosen.repeat_interleave(self.copies))
        return x.to(self.device), conditions.to(self.device)
