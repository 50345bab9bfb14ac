"""Timings that matter to people who wait: `python -m tinylab.bench`. Both sides in turn, in one process, as ratios."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from tinylab.diffusion import objective_for
from tinylab.metrics.cost import interleaved_seconds
from tinylab.models.base import Denoiser
from tinylab.models.dit import DiT
from tinylab.models.load import load_model
from tinylab.pruning.depth_mask import DepthMask
from tinylab.pruning.gates import gated
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.threads import share_cores
from tinylab.sampling.generate import Settings, generate

__all__ = ["main"]


def main() -> None:
    """Print one line a comparison: median times of both sides, and their ratio."""
    parser = argparse.ArgumentParser(prog="python -m tinylab.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11, help="times that each side is measured (default: 11)")
    rounds = parser.parse_args().rounds
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {rounds} rounds in turn")
    digits = load_model("digits-dit")
    wide = DiT(input_size=16, in_channels=4, hidden_size=384, depth=8, num_heads=6, num_classes=10)
    for name, model, pattern in (("digits-dit", digits, "6:12"), ("width 384, 8 blocks, 64 tokens", wide, "1:2")):
        depth = model.stack_depths()["blocks"]
        half = apply_plan(model, DepthPlan.of(range(0, depth, 2), model.stack_depths(), "bench"))
        pair = {"all blocks": partial(_draw, model), "half": partial(_draw, half)}
        _report(f"sampling, {name}", pair, rounds)
        step = partial(_search_step, model, Layout.parse(pattern, model.stack_depths()))
        _report(
            f"search step, {name}, {pattern}",
            {"dense": partial(step, False), "exact skip": partial(step, True)},
            rounds,
        )


def _report(title: str, work: Mapping[str, Callable[[], object]], rounds: int) -> None:
    interleaved_seconds(work, rounds=1)  # warm-up
    seconds = interleaved_seconds(work, rounds=rounds, budget=120)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first, second = medians.values()
    shown = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in medians.items())
    print(f"{title}: {shown}, ratio {first / second:.2f}", flush=True)


def _draw(model: Denoiser) -> Tensor:
    """20 images, 10 DDIM steps, with guidance."""
    labels = torch.arange(20) % model.num_classes
    return generate(model, objective_for(model), labels, Settings("ddim", steps=10, guidance=1.5))


def _search_step(model: Denoiser, layout: Layout, skip: bool) -> Sequence[Tensor]:
    """Forward and backward of one search step at batch 64, all weights training."""
    generator = torch.Generator().manual_seed(0)
    objective, mask = objective_for(model), DepthMask(layout)
    x = torch.randn(64, *model.sample_shape, generator=generator)
    draw = objective.draw(64, model.sample_shape, generator)
    with gated(model, mask.draw(64, 1.0, generator), skip=skip):
        loss = objective.losses(model, x, torch.zeros(64, dtype=torch.long), draw).loss.mean()
    moving = [p for p in (*model.parameters(), *mask.parameters()) if p.requires_grad]
    return torch.autograd.grad(loss, moving, allow_unused=True)


if __name__ == "__main__":
    share_cores()
    main()
