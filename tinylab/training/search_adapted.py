"""The mask search on a transformer of diffusers, with inputs that were encoded before."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tinylab.config import SearchConfig
from tinylab.data.cached import CachedInputs
from tinylab.data.order import batch_indices, step_generator
from tinylab.diffusion.adapted import AdaptedObjective
from tinylab.models.adapters import AdaptedTransformer
from tinylab.training.batches import TrainBatch
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
        super().__init__(model, objective, data, config, seconds=seconds)  # type: ignore[arg-type]  # only `batch` reads the data
        self.inputs = data

    def batch(self, step: int, rows: slice) -> TrainBatch:
        """Some of the latents of a step and their conditions, copies in a row."""
        generator = step_generator(self.config.seed, step)
        chosen = batch_indices(len(self.inputs), self.images, self.config.seed, step)[rows]
        shape = tuple(self.inputs.latents.shape[1:])
        draw = self.objective.draw(self.images, shape, generator)[rows]
        x, _ = self.inputs.batch(chosen)
        _, conditions = self.inputs.batch(chosen.repeat_interleave(self.copies))
        return replace(self.copied(TrainBatch(x, None, draw, rows, generator)), y=conditions)
