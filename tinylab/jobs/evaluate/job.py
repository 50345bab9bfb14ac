"""The job itself: draw or read pictures, extract their features, score them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinylab.config import EvaluateConfig
from tinylab.data.sample_file import write_pictures, write_samples
from tinylab.distributed import process_group
from tinylab.jobs.cards import short_labels
from tinylab.jobs.context import JobContext
from tinylab.jobs.evaluate.check import classes_of, extractor_of, metrics_of, models_of, reference_of
from tinylab.jobs.evaluate.sampling import Batches, Contender, draw_missing
from tinylab.metrics.cost import count_parameters
from tinylab.metrics.fidelity.extractors import Extractor, Features, open_extractor
from tinylab.metrics.fidelity.reference import Reference, floor, open_reference, reference_features
from tinylab.metrics.fidelity.scores import score, warnings_for
from tinylab.models.autoencoder.load import load_autoencoder
from tinylab.models.load import load_model, pick_device
from tinylab.sampling import sampler_for
from tinylab.sampling.generate import steps_taken
from tinylab.sampling.images import grid_png

__all__ = ["run"]

_SHOWN, _COLUMNS = 100, 10  # pictures of the grid
_READ = 500  # pictures of a file that are scored at once


@dataclass(frozen=True)
class _Pictures:
    """What one row of the result is about."""

    count: int
    batches: Iterable[np.ndarray]
    labels: Tensor | None
    facts: Mapping[str, Any]


def run(config: EvaluateConfig, context: JobContext) -> dict[str, Any]:
    """Scores of every model and file, the floor that real data sets, and what to know about them.

    Several processes share the drawing; the main one scores. A resumed job draws only what is not there yet.
    """
    drawn = _drawn(config, context) if models_of(config) else []
    process_group().wait()
    if not context.main:
        return {}
    sets = drawn + [_read(name) for name in config.images]
    extractor = open_extractor(
        extractor_of(config, context.facts),
        weights=Path(config.weights) if config.weights else None,
        device=pick_device(config.device),
    )
    judge = _Judge.open(config, context, extractor, open_reference(reference_of(config, context.facts)))
    names = short_labels([one.facts["source"] for one in sets])
    rows = [
        _row(config, context, judge, index, name, one)
        for index, (name, one) in enumerate(zip(names, sets, strict=True))
    ]
    warnings = judge.warnings(one.count for one in sets)
    return {**judge.facts(), "rows": rows, "floor": judge.floor(), "warnings": warnings}


def _drawn(config: EvaluateConfig, context: JobContext) -> list[_Pictures]:
    """The samples of all models, those that are missing drawn first."""
    contenders = []
    for index, name in enumerate(models_of(config)):
        batches = Batches(context.run.checkpoints / "samples" / f"{index}", config.n, config.batch_size)
        contenders.append(Contender(name, load_model(context.facts.model(name), config.device), batches))
    classes = torch.tensor(classes_of(config, context.facts.model(contenders[0].source)))
    labels = classes[torch.arange(config.n) % len(classes)]
    autoencoder = load_autoencoder(config.vae, config.device) if config.vae else None
    draw_missing(contenders, labels, config, context, autoencoder)
    return [_Pictures(config.n, one.batches, labels, _facts(config, one, len(classes))) for one in contenders]


def _facts(config: EvaluateConfig, contender: Contender, classes: int) -> dict[str, Any]:
    """What a row has on samples that were drawn: how, by what, and at what pace where one process drew them all."""
    model = contender.model
    setting = {
        "sampler": sampler_for(model.family, config.sampler),
        "steps": steps_taken(model, config.steps),
        "guidance": config.guidance,
        "guidance_schedule": config.guidance_schedule,
        "temperature": config.temperature,
        "cache": config.cache,
        "vae": Path(config.vae).name if config.vae else None,
        "seed": config.seed,
        "classes": classes,
    }
    alone = process_group().size == 1
    return {
        "source": contender.source,
        "drawn": True,
        "setting": setting,
        "depth": model.stack_depths(),
        "parameters": count_parameters(model),
        "seconds_per_image": statistics.median(contender.batches.seconds_per_image()) if alone else None,
    }


def _read(name: str) -> _Pictures:
    """The pictures of a file or folder."""
    found = open_reference(name)
    labels = None if found.labels is None else torch.from_numpy(found.labels)
    facts = {"setting": None, "depth": None, "parameters": None, "seconds_per_image": None}
    chunks = [found.pixels[at : at + _READ] for at in range(0, len(found.pixels), _READ)]
    return _Pictures(len(found.pixels), chunks, labels, {"source": name, "drawn": False, **facts})


def _row(
    config: EvaluateConfig, context: JobContext, judge: _Judge, index: int, name: str, pictures: _Pictures
) -> dict[str, Any]:
    row: dict[str, Any] = {"label": name, "images": pictures.count, **pictures.facts}
    row["scores"] = judge.scores(name, pictures.batches, pictures.count, pictures.labels)
    first = next(iter(pictures.batches))
    row["png"] = context.artifact(f"images-{index}.png", _grid(first[:_SHOWN])).name
    if pictures.facts["drawn"]:
        context.progress(pictures.count, pictures.count, f"writing the samples of {name}")
        assert pictures.labels is not None
        path = context.run.artifacts / f"images-{index}.npz"
        write_samples(path, pictures.batches, count=pictures.count, labels=pictures.labels.numpy())
        row["npz"] = path.name
        if config.pictures:
            write_pictures(context.run.artifacts / f"pictures-{index}", pictures.batches)
            row["pictures"] = f"pictures-{index}"
    return row


def _grid(pixels: np.ndarray) -> bytes:
    return grid_png(pixels, min(_COLUMNS, len(pixels)), max(1, 48 // pixels.shape[1]))


def _all(parts: Sequence[Features]) -> Features:
    """The features of several batches as one set."""

    def joined(found: Sequence[Tensor | None]) -> Tensor | None:
        there = [part for part in found if part is not None]
        return torch.cat(there) if there else None

    pooled = torch.cat([part.pooled for part in parts])
    return Features(pooled, joined([part.logits for part in parts]), joined([part.spatial for part in parts]))


@dataclass(frozen=True)
class _Judge:
    """Scores pictures against a reference, as an evaluation asks for.

    Attributes:
        real: features of the reference.
        metrics: what is scored.
    """

    config: EvaluateConfig
    context: JobContext
    extractor: Extractor
    reference: Reference
    real: Features
    metrics: tuple[str, ...]

    @classmethod
    def open(cls, config: EvaluateConfig, context: JobContext, extractor: Extractor, reference: Reference) -> _Judge:
        """Extract the features of the reference, or find them in the cache."""

        def progress(done: int, total: int) -> None:
            context.progress(done, total, f"features of {reference.name}")
            context.stop_here("resume it to go on")

        real = reference_features(reference, extractor, cache=None, progress=progress)
        return cls(config, context, extractor, reference, real, metrics_of(config, context.facts))

    def scores(self, name: str, batches: Iterable[np.ndarray], count: int, labels: Tensor | None) -> dict[str, Any]:
        """The scores of `count` pictures (n, H, W, C) in batches, by metric, ready for JSON."""
        parts: list[Features] = []
        for batch in batches:
            parts.append(self.extractor.features(batch))
            self.context.progress(sum(map(len, parts)), count, f"features of {name}")
            self.context.stop_here("resume it to go on: what was drawn is kept")
        metrics = self._metrics(labels)
        self.context.progress(count, count, f"scores of {name}")
        found = score(
            metrics, _all(parts), self.real, labels=labels, resamples=self.config.resamples, seed=self.config.seed
        )
        return {metric: one.to_json() for metric, one in found.items()}

    def floor(self) -> dict[str, Any]:
        """Two halves of the real data against each other: what no model can be expected to beat."""
        labels = None if self.reference.labels is None else torch.from_numpy(self.reference.labels)
        config = self.config
        self.context.progress(0, 1, "two halves of the real data")
        sizes, found = floor(self.real, labels, self.metrics, resamples=config.resamples, seed=config.seed)
        self.context.progress(1, 1, "two halves of the real data")
        return {"images": list(sizes), "scores": {metric: one.to_json() for metric, one in found.items()}}

    def warnings(self, counts: Iterable[int]) -> list[str]:
        """What to know about scores of sets of these sizes, each once."""
        features, resamples = self.real.pooled.shape[1], self.config.resamples
        several = [warnings_for(n, len(self.real), features, self.metrics, resamples=resamples) for n in counts]
        return list(dict.fromkeys(line for lines in several for line in lines))

    def facts(self) -> Mapping[str, Any]:
        """Reference and extractor, as the result names them."""
        features = self.real.pooled.shape[1]
        return {
            "reference": {"name": self.reference.name, "images": len(self.real), "hash": self.reference.hash},
            "extractor": {"name": self.extractor.name, "hash": self.extractor.hash, "features": features},
        }

    def _metrics(self, labels: Tensor | None) -> tuple[str, ...]:
        return tuple(metric for metric in self.metrics if metric != "accuracy" or labels is not None)
