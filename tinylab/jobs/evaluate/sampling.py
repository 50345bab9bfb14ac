"""Drawing the samples of an evaluation: models in turn, each process its share, from where the last one ended."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from tinylab.config import EvaluateConfig
from tinylab.diffusion import Objective, objective_for
from tinylab.distributed import process_group
from tinylab.errors import Failure, Stopped
from tinylab.files import atomic
from tinylab.jobs.context import JobContext
from tinylab.metrics.cost import synchronised_time
from tinylab.models.autoencoder.load import Autoencoder
from tinylab.models.base import Denoiser
from tinylab.sampling.caches import cached, parse_cache
from tinylab.sampling.generate import Settings, generate, steps_taken
from tinylab.sampling.images import to_uint8

__all__ = ["Batches", "Contender", "draw_missing"]


@dataclass(frozen=True)
class Batches:
    """`count` samples in files of `size`, the last one with the rest."""

    folder: Path
    count: int
    size: int

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The pixels of every batch in order, uint8 (n, H, W, C). All must be there."""
        return (self._read(number)[0] for number in range(len(self)))

    def rows(self, number: int) -> range:
        """The samples of a batch."""
        return range(number * self.size, min(self.count, (number + 1) * self.size))

    def missing(self) -> list[int]:
        """The batches that are still to be drawn."""
        return [number for number in range(len(self)) if not self._path(number).is_file()]

    def write(self, number: int, pixels: np.ndarray, seconds: float) -> None:
        """Store a batch (n, H, W, C) and how long it took to draw."""
        buffer = io.BytesIO()
        np.savez(buffer, pixels=pixels, seconds=np.float64(seconds))
        self.folder.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(self._path(number), buffer.getvalue())

    def seconds_per_image(self) -> list[float]:
        """Of every batch, in order."""
        return [self._read(number)[1] / len(self.rows(number)) for number in range(len(self))]

    def _path(self, number: int) -> Path:
        return self.folder / f"batch-{number:06d}.npz"

    def _read(self, number: int) -> tuple[np.ndarray, float]:
        path = self._path(number)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return stored["pixels"], float(stored["seconds"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            raise Failure(f"{path} is damaged; delete it and resume: that batch is drawn again") from None


@dataclass(frozen=True)
class Contender:
    """A model and where its samples go."""

    source: str
    model: Denoiser
    batches: Batches

    @cached_property
    def objective(self) -> Objective:
        """What the model was trained to do."""
        return objective_for(self.model)


def draw_missing(
    contenders: Sequence[Contender],
    labels: Tensor,
    config: EvaluateConfig,
    context: JobContext,
    autoencoder: Autoencoder | None,
) -> None:
    """Draw every batch that is not there yet, for the classes labels (N,); returns when all processes are done.

    Raises:
        Stopped: somebody asked for it; what is drawn stays.
    """
    team = process_group()
    lacking = team.from_main(lambda: [(b, c) for c, one in enumerate(contenders) for b in one.batches.missing()])
    turns = _in_turn(lacking)
    _warm_up(contenders, labels, config, {c for _, c in turns})
    steps = [steps_taken(one.model, config.steps) for one in contenders]
    total = sum(count * len(one.batches) for count, one in zip(steps, contenders, strict=True))
    done = total - sum(steps[c] for _, c in turns)
    context.progress(done, total, "drawing")
    for first in range(0, len(turns), team.size):
        several = turns[first : first + team.size]
        if team.rank < len(several):
            number, which = several[team.rank]
            _draw(contenders[which], number, labels, config, autoencoder)
        done += sum(steps[c] for _, c in several)
        context.progress(done, total, "drawing")
        if team.any(context.should_stop()):
            raise Stopped("stopped after a batch; resume it to draw the others")


def _in_turn(lacking: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(batch, contender): batch by batch, the first contender another one every time, so that drifts of the machine's
    speed hit all alike."""
    by_batch: dict[int, list[tuple[int, int]]] = {}
    for batch, contender in sorted(map(tuple, lacking)):
        by_batch.setdefault(batch, []).append((batch, contender))
    turns = []
    for batch, several in by_batch.items():
        start = batch % len(several)
        turns += several[start:] + several[:start]
    return turns


def _warm_up(contenders: Sequence[Contender], labels: Tensor, config: EvaluateConfig, needed: set[int]) -> None:
    """The first pass through a model is slower than the rest."""
    for which in sorted(needed):
        one = contenders[which]
        generate(one.model, one.objective, labels[:2], Settings(config.sampler, 1, config.guidance))


def _draw(
    contender: Contender, number: int, labels: Tensor, config: EvaluateConfig, autoencoder: Autoencoder | None
) -> None:
    rows = contender.batches.rows(number)
    wanted = labels[rows.start : rows.stop]
    settings = Settings(
        config.sampler, config.steps, config.guidance, config.seed, config.guidance_schedule, config.temperature
    )
    objective = contender.objective
    began = synchronised_time()
    with cached(contender.model, parse_cache(config.cache)):
        drawn = generate(contender.model, objective, wanted, settings, first=rows.start)
    seconds = synchronised_time() - began
    pixels = to_uint8(autoencoder.decode(drawn) if autoencoder else drawn)
    contender.batches.write(number, pixels, seconds)
