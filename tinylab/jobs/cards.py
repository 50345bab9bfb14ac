"""Model cards: what a saved model is and how to make it again."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinylab.config import CompareConfig, FinetuneConfig, TrainConfig
from tinylab.errors import BadRequest
from tinylab.models.catalog import built_in_models
from tinylab.models.hub.reference import is_hub_reference, parse_hub_reference
from tinylab.paths import exists
from tinylab.presets import TrainPreset
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.command import command_of
from tinylab.runs.run import Run

__all__ = ["shallow_card", "short_labels", "training_card"]


def training_card(config: TrainConfig, preset: TrainPreset, scores: Mapping[str, Any], run: Run, *, device: str) -> str:
    """Markdown for a model trained from nothing on `device`, as a person calls it."""
    minutes = run.stored_status().seconds / 60
    values = "\n".join(f"| {name} | {value} |" for name, value in config.model_dump(exclude={"kind"}).items())
    measured = "\n".join(f"| {name.replace('_', ' ')} | {_show(value)} |" for name, value in scores.items())
    picture = "![samples](samples.png)\n\n" if preset.family != "reader" else ""
    return f"""---
license: apache-2.0
library_name: tinylab
tags: [tinylab, {preset.family}]
---
# {config.preset}

{preset.summary[0].upper()}{preset.summary[1:]}. Trained on the 1,500 training images of scikit-learn's bundled
handwritten digits (297 are held out), scaled to [-1, 1].

{picture}Made by `{command_of(config, always=("preset", "seed", "steps"))}` in {max(1, minutes):.0f} minute(s)
on {device} with {config.threads or "all"} CPU thread(s). The saved weights are the moving average.

| score | value |
|---|---|
{measured}

| setting | value |
|---|---|
{values}
"""


def _show(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def shallow_card(
    plan: DepthPlan, recovered: FinetuneConfig | CompareConfig | None, scores: Mapping[str, float] | None = None
) -> str:
    """Markdown for a model that was cut, and maybe fine-tuned; `scores` are losses by name."""
    teacher = _shown_model(plan.model)
    kept = "; ".join(f"{', '.join(map(str, kept))} of {plan.depth[s]} {s}" for s, kept in plan.kept.items())
    training = "none since the cut"
    if recovered:
        training = (
            f"fine-tuned for {recovered.steps} steps at batch {recovered.batch_size}, learning rate {recovered.lr}, "
            f"seed {recovered.seed}; these are the averaged weights"
        )
    rows = "".join(f"| {name.replace('_', ' ')} | {_show(value)} |\n" for name, value in (scores or {}).items())
    table = f"\nDenoising loss on data that no training saw:\n\n| model | loss |\n|---|---|\n{rows}" if rows else ""
    return f"""---
{_metadata(plan.model)}library_name: tinylab
tags: [tinylab, depth-pruning]
---
# {teacher}, cut to {plan.total} blocks

- Teacher: {teacher}
- Kept blocks: {kept}
- Chosen by: {_one_line(plan.method)}{_search(plan.details)}
- Training: {training}
{table}"""


def _shown_model(reference: str) -> str:
    """A model's name for strangers: of a path on this machine only the last part."""
    name = reference if is_hub_reference(reference) else Path(reference).name
    return _one_line(name) or "a model"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def _metadata(teacher: str) -> str:
    """What the Hub reads of a teacher's: its name if it is there, its licence if it is known."""
    if is_hub_reference(teacher):
        with contextlib.suppress(BadRequest):
            return f"base_model: {parse_hub_reference(teacher).repo}\n"
    return "license: apache-2.0\n" if teacher in built_in_models() else ""


def _search(details: Mapping[str, Any]) -> str:
    """How a learned choice was searched, as far as the plan has it."""
    facts = [_one_line(f"{key} {details[key]}") for key in ("pattern", "weights", "steps", "seed") if key in details]
    return f" ({', '.join(facts)})" if facts else ""


def short_labels(sources: Sequence[str]) -> list[str]:
    """Built-in names, published sizes and what comes from the Hub as they are; of a path the last part, numbered where
    it comes again."""
    seen: dict[str, int] = {}
    found = []
    for source in sources:
        label = Path(source).name if exists(Path(source)) else source
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found
