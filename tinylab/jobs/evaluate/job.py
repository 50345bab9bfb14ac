"""The job itself: draw or read, see features, score."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
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
from tinylab.jobs.evaluate.check import classes_of, extractor_of, models_of, reference_of
from tinylab.jobs.evaluate.sampling import Batches, Contender, draw_missing
from tinylab.jobs.evaluate.scoring import Judge
from tinylab.metrics.cost import count_parameters
from tinylab.metrics.fidelity.extractors import open_extractor
from tinylab.metrics.fidelity.reference import open_reference
from tinylab.models.autoencoder.load import load_autoencoder
from tinylab.models.load import load_model, pick_device
from tinylab.sampling import sampler_for
from tinylab.sampling.generate import steps_taken
from tinylab.sampling.images import grid_png

__all__ = ["run"]

_SHOWN, _COLUMNS = 100, 10  # pictures of the grid


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
    judge = Judge.open(config, context, extractor, open_reference(reference_of(config, context.facts)))
    names = short_labels([one.facts["source"] for one in sets])
    rows = [
        _row(config, context, judge, index, name, one)
        for index, (name, one) in enumerate(zip(names, sets, strict=True))
    ]
    warnings = judge.warnings(one.count for one in sets)
    return {**judge.facts(), "rows": rows, "floor": judge.floor(), "warnings": warnings}


def _drawn(config: EvaluateConfig, context: JobContext) -> list[_Pictures]:
    """The samples of all models, those that are missing drawn first."""
    contenders = [
        Contender.of(
            name,
            load_model(context.facts.model(name), config.device),
            Batches(context.run.checkpoints / "samples" / f"{index}", config.n, config.batch_size),
        )
        for index, name in enumerate(models_of(config))
    ]
    classes = torch.tensor(classes_of(config, context.facts.model(contenders[0].source)))
    labels = classes[torch.arange(config.n) % len(classes)]
    autoencoder = load_autoencoder(config.vae, config.device) if config.vae else None
    draw_missing(contenders, labels, config, context, autoencoder)
    return [_Pictures(config.n, one.batches, labels, _facts(config, one, len(classes))) for one in contenders]


def _facts(config: EvaluateConfig, contender: Contender, classes: int) -> dict[str, Any]:
    """What a row says of samples that were drawn: how, by what, and at what pace where one process drew them all."""
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
    return _Pictures(
        len(found.pixels),
        _chunks(found.pixels),
        labels,
        {"source": name, "drawn": False, **facts},
    )


def _chunks(pixels: np.ndarray, size: int = 500) -> list[np.ndarray]:
    return [pixels[at : at + size] for at in range(0, len(pixels), size)]


def _row(
    config: EvaluateConfig, context: JobContext, judge: Judge, index: int, name: str, pictures: _Pictures
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
