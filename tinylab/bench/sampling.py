"""What half of the blocks saves when pictures are drawn."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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

__all__ = ["SamplingRow", "measure_sampling"]

_IMAGES, _STEPS, _GUIDANCE = 20, 10, 1.5
_BUDGET = 120.0  # seconds after which no further round is begun


@dataclass(frozen=True)
class SamplingRow:
    """Median seconds of 20 images, 10 DDIM steps, with guidance: a model, and one with every second of its blocks."""

    model: str
    blocks: int
    seconds: float
    half_seconds: float
    speedup: float


def measure_sampling(rounds: int, device: str, progress: Callable[[str], None]) -> list[SamplingRow]:
    """`digits-dit`, and a DiT of 8 blocks, width 384 and 64 tokens with random weights."""
    named = {"digits-dit": SearchOptions(model="digits-dit", device=device), "width 384": SearchOptions(device=device)}
    rows = []
    for name, options in named.items():
        progress(f"sampling, {name}")
        model = build_model(options).eval()
        (depth,) = model.stack_depths().values()
        half = apply_plan(model, DepthPlan.of(range(0, depth, 2), model.stack_depths(), "bench"))
        work = {"all": partial(_draw, model), "half": partial(_draw, half)}
        interleaved_seconds(work, rounds=1)  # warm-up
        seconds = interleaved_seconds(work, rounds=rounds, budget=_BUDGET)
        whole, part = (statistics.median(seconds[side]) for side in work)
        rows.append(SamplingRow(name, depth, whole, part, whole / part))
    return rows


def _draw(model: Denoiser) -> Tensor:
    labels = torch.arange(_IMAGES) % model.num_classes
    return generate(model, objective_for(model), labels, Settings("ddim", steps=_STEPS, guidance=_GUIDANCE))
