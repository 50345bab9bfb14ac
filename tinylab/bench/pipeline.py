"""Our sampling of a DiT beside diffusers' DiTPipeline on the same weights: times in turn, and how latents differ."""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tinylab.bench.pipeline_sides import Sides
from tinylab.config import CostConfig
from tinylab.errors import BadRequest
from tinylab.jobs.cost.check import describe_subject
from tinylab.jobs.cost.contenders import load_or_build
from tinylab.jobs.cost.timing import machine_of
from tinylab.jobs.facts import Facts
from tinylab.metrics.cost import interleaved_seconds
from tinylab.sampling import sampler_for
from tinylab.sampling.generate import Settings

__all__ = ["PipelineRow", "check_pipeline", "measure_pipeline"]

_NULL_CLASS = 1000  # written into DiTPipeline


@dataclass(frozen=True)
class PipelineRow:
    """One sampler, batch size and number of steps.

    Attributes:
        seconds, pipeline_seconds: medians of a batch, from noise to decoded pictures.
        ratio: the median of the ratios of rounds, pipeline to ours: above 1 ours is faster.
        largest_difference: between the latents of one drawing from the same noise; None where both draw something else.
        largest_value: in those latents.
    """

    sampler: str
    batch: int
    steps: int
    seconds: float
    pipeline_seconds: float
    ratio: float
    rounds: int
    largest_difference: float | None
    largest_value: float | None


def check_pipeline(config: CostConfig) -> None:
    """BadRequest for what no DiTPipeline can draw."""
    subject = describe_subject(config.model, Facts())
    if subject.family.name != "dit":
        raise BadRequest(f"--pipeline: diffusers has a pipeline for a DiT only, {config.model} is another model")
    if config.guidance > 1 and subject.family.num_classes(subject.config) != _NULL_CLASS:
        raise BadRequest(
            f"--pipeline: DiTPipeline takes class {_NULL_CLASS} for the null class; name a model of as many classes "
            "such as DiT-S/2, or --guidance 1"
        )
    if config.guidance < 1:
        raise BadRequest("--pipeline: DiTPipeline does not guide below 1; use --guidance 1 or more")


def measure_pipeline(config: CostConfig, progress: Callable[[str], None]) -> dict[str, Any]:
    """Rows for every sampler, batch size and number of steps that `config` asks for, and what the two do otherwise.

    Raises:
        BadRequest: another model than a DiT, or one that the pipeline cannot guide.
    """
    check_pipeline(config)
    samplers = ("ddim", "ddpm") if config.sampler == "auto" else (sampler_for("dit", config.sampler),)
    model = load_or_build(config.model, config.device, config.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(model, Path(folder) / "pipeline", config.device)
        for sampler, batch, steps in itertools.product(samplers, config.batch_sizes, config.step_counts):
            progress(f"beside DiTPipeline: {sampler}, batch {batch}, {steps} steps")
            settings = Settings(sampler, steps, config.guidance, config.seed)
            rows.append(_row(sides, batch, settings, config))
    document = {"model": config.model, "guidance": config.guidance, "precision": config.precision}
    rows_of = [asdict(row) for row in rows]
    return {"machine": machine_of(sides.device, config.precision), **document, "rows": rows_of, "notes": sides.notes}


def _row(sides: Sides, batch: int, settings: Settings, config: CostConfig) -> PipelineRow:
    labels = torch.arange(batch) % sides.model.num_classes
    low = torch.autocast(sides.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    work = {"ours": partial(sides.ours, labels, settings), "pipeline": partial(sides.pipelines, labels, settings)}
    with low:
        interleaved_seconds(work, rounds=1)  # warm-up
        seconds = interleaved_seconds(work, rounds=config.rounds, budget=float("inf"))
        latents = sides.latents(labels, settings)
    pairs = list(zip(seconds["pipeline"], seconds["ours"], strict=True))
    return PipelineRow(
        settings.sampler,
        batch,
        settings.steps,
        seconds=statistics.median(seconds["ours"]),
        pipeline_seconds=statistics.median(seconds["pipeline"]),
        ratio=statistics.median(theirs / ours for theirs, ours in pairs),
        rounds=len(pairs),
        largest_difference=None if latents is None else (latents[0] - latents[1]).abs().max().item(),
        largest_value=None if latents is None else latents[1].abs().max().item(),
    )
