"""Draw images, side by side for several models: same noise, classes, guidance and steps."""

import io
import statistics
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinylab.config import SampleConfig
from tinylab.diffusion import objective_for
from tinylab.jobs.context import JobContext
from tinylab.jobs.evaluate.check import classes_of
from tinylab.metrics.cost import count_parameters, interleaved_seconds
from tinylab.models.autoencoder.load import Autoencoder, load_autoencoder
from tinylab.models.base import Denoiser
from tinylab.models.load import load_model, load_reader
from tinylab.models.networks.reader import reading_accuracy
from tinylab.sampling.generate import Settings, generate, steps_taken
from tinylab.sampling.images import grid_png, to_uint8

__all__ = ["run"]

_SHOWN = 100  # images in the picture; all are in the npz


def run(config: SampleConfig, context: JobContext) -> dict[str, Any]:
    """Write a PNG grid and an npz for each model; return times, sizes and how well the digits read.

    The drawing is repeated, models in turn, while it is quick, and the median time is given.
    """
    names = (config.model, *config.against)
    models = {f"{i}": load_model(context.facts.model(name), config.device) for i, name in enumerate(names)}
    info = context.facts.model(config.model)
    classes = torch.tensor(classes_of(config, info))
    labels = classes[torch.arange(config.n) % len(classes)]
    batches = -(-config.n // config.batch_size)
    done, total = 0, batches * sum(steps_taken(model, config.steps) for model in models.values())

    def tick(_: int) -> None:
        nonlocal done
        done += 1
        if done <= total:  # later rounds are only timed: no status is written while they run
            context.progress(done, total)
        context.stop_here("resume it to draw from the start")

    drawn: dict[str, Tensor] = {}

    def draw(key: str) -> None:
        model, settings = models[key], _settings(config, steps=config.steps)
        parts: list[Tensor] = []
        for at in range(0, config.n, config.batch_size):
            some = labels[at : at + config.batch_size]
            parts.append(generate(model, objective_for(model), some, settings, first=at, on_step=tick).cpu())
        drawn[key] = torch.cat(parts)

    for model in models.values():  # the first pass through a model is slower than the rest
        generate(model, objective_for(model), labels[:2], _settings(config, steps=1))
    work = {key: partial(draw, key) for key in models}
    seconds = interleaved_seconds(work, rounds=3, budget=6.0)
    rows = [_row(config, name, models[f"{i}"], drawn[f"{i}"], labels, seconds[f"{i}"]) for i, name in enumerate(names)]
    autoencoder = load_autoencoder(config.vae, config.device) if config.vae else None
    for i, row in enumerate(rows):
        _store(context, i, row, drawn[f"{i}"], autoencoder, labels, columns=_columns(len(classes), config.n))
        row["speedup"] = rows[0]["seconds_per_image"] / row["seconds_per_image"]
    named = [info.class_names[c] for c in classes[: config.n].tolist()]
    return {"models": rows, "classes": classes[: config.n].tolist(), "class_names": named, "n": config.n}


def _columns(classes: int, count: int) -> int:
    """Pictures a row: all classes once, or several times while ten fit."""
    return min(count, 10, classes * max(1, 10 // classes))


def _settings(config: SampleConfig, steps: int) -> Settings:
    return Settings(config.sampler, steps, config.guidance, config.seed, config.guidance_schedule, config.temperature)


def _row(
    config: SampleConfig, name: str, model: Denoiser, images: Tensor, labels: Tensor, seconds: list[float]
) -> dict[str, Any]:
    row = {
        "model": name,
        "depth": model.stack_depths(),
        "parameters": count_parameters(model),
        "steps": steps_taken(model, config.steps),
        "seconds_per_image": statistics.median(seconds) / config.n,
        "timed_rounds": len(seconds),
    }
    reader = load_reader(model)
    if reader is not None:
        row["read_correctly"] = reading_accuracy(reader, images, labels)
    return row


def _store(
    context: JobContext,
    index: int,
    row: dict[str, Any],
    drawn: Tensor,
    autoencoder: Autoencoder | None,
    labels: Tensor,
    columns: int,
) -> None:
    """A PNG of the first pictures and an npz of all; latents are kept as they were drawn beside their pictures."""
    pixels = to_uint8(autoencoder.decode(drawn).cpu() if autoencoder else drawn)
    arrays = {"images": pixels, "labels": labels.numpy()}
    if drawn.shape[1] not in (1, 3):
        arrays["latents"] = drawn.numpy()
        if autoencoder is None:
            row["note"] = "these are latents, shown by their first three channels; --vae turns them into pictures"
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numpy types only one of its keywords
    row["npz"] = context.artifact(f"samples-{index}.npz", buffer.getvalue()).name
    scale = max(1, 48 // pixels.shape[1])
    row["png"] = context.artifact(f"samples-{index}.png", grid_png(pixels[:_SHOWN], columns, scale)).name
