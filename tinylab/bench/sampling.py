"""What half of the blocks saves when pictures are drawn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tinylab.bench.options import SearchOptions
from tinylab.bench.subject import build_model
from tinylab.diffusion import objective_for
from tinylab.metrics.cost import interleaved_seconds
from tinylab.models.base import Denoiser
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.sampling.generate import Settings, generate

__all__ = ["SAMPLED", "SamplingRow", "measure_sampling"]

# By name, what differs from the sizes that `SearchOptions` has of itself.
SAMPLED: Mapping[str, Mapping[str, Any]] = {"digits-dit": {"model": "digits-dit"}, "width 384": {}}

_IMAGES, _STEPS, _GUIDANCE = 20, 10, 1.5
_BUDGET = 120.0  # seconds after which no further round is begun


@dataclass(frozen=True)
class SamplingRow:
    """Median seconds of 20 images, 10 DDIM steps, with guidance: a model, and one with every second of its blocks."""

    model: str
    blocks: int
    half_blocks: int
    seconds: float
    half_seconds: float
    speedup: float


def measure_sampling(rounds: int, device: str, progress: Callable[[str], None]) -> list[SamplingRow]:
    """One row for every model of `SAMPLED`, by default the digits' and a wider one with random weights."""
    rows = []
    for name, sizes in SAMPLED.items():
        progress(f"sampling, {name}")
        model = build_model(SearchOptions(**sizes, device=device)).eval()
        (depth,) = model.stack_depths().values()
        half = apply_plan(model, DepthPlan.of(range(0, depth, 2), model.stack_depths(), "bench"))
        work = {"all": partial(_draw, model), "half": partial(_draw, half)}
        interleaved_seconds(work, rounds=1)  # warm-up
        seconds = interleaved_seconds(work, rounds=rounds, budget=_BUDGET)
        whole, part = (statistics.median(seconds[side]) for side in work)
        rows.append(SamplingRow(name, depth, (depth + 1) // 2, whole, part, whole / part))
    return rows


def _draw(model: Denoiser) -> Tensor:
    labels = torch.arange(_IMAGES) % model.num_classes
    return generate(model, objective_for(model), labels, Settings("ddim", steps=_STEPS, guidance=_GUIDANCE))
