"""Model cards: what a saved model is and how to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinylab.config import CompareConfig, FinetuneConfig, TrainConfig
from tinylab.presets import TrainPreset
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.record import Run

__all__ = ["shallow_card", "training_card"]


def training_card(config: TrainConfig, preset: TrainPreset, scores: Mapping[str, Any], run: Run) -> str:
    """Markdown for a model trained from nothing."""
    minutes = run.stored_status().seconds / 60
    values = "\n".join(f"| {name} | {value} |" for name, value in config.model_dump(exclude={"kind"}).items())
    measured = "\n".join(f"| {name.replace('_', ' ')} | {_show(value)} |" for name, value in scores.items())
    command = f"tinylab train --preset {config.preset} --seed {config.seed} --steps {config.steps}"
    picture = "![samples](samples.png)\n\n" if preset.family != "reader" else ""
    return f"""---
license: apache-2.0
library_name: tinylab
tags: [tinylab, {preset.family}]
---
# {config.preset}

{preset.summary[0].upper()}{preset.summary[1:]}. Trained on the 1,500 training images of scikit-learn's bundled
handwritten digits (297 are held out), scaled to [-1, 1].

{picture}Made by `{command}` in {max(1, minutes):.0f} minute(s)
on a CPU with {config.threads or "all"} thread(s). The saved weights are the moving average.

| score | value |
|---|---|
{measured}

| setting | value |
|---|---|
{values}
"""


def _show(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def shallow_card(plan: DepthPlan, recovered: FinetuneConfig | CompareConfig | None) -> str:
    """Markdown for a model that was cut, and maybe fine-tuned."""
    kept = "; ".join(f"{', '.join(map(str, kept))} of {plan.depth[s]} {s}" for s, kept in plan.kept.items())
    training = "It has not been fine-tuned since the cut."
    if recovered:
        training = (
            f"Fine-tuned for {recovered.steps} steps at batch {recovered.batch_size}, learning rate {recovered.lr}, "
            f"seed {recovered.seed}; these are the averaged weights."
        )
    return f"""---
license: apache-2.0
library_name: tinylab
tags: [tinylab, depth-pruning]
---
# {plan.model}, cut to {plan.total} blocks

Kept blocks: {kept}. Chosen by: {plan.method}. {training}
"""
