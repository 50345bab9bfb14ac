"""From the name of a method to a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinylab.data.base import Dataset
from tinylab.diffusion import Objective
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.pruning.criteria import CRITERIA, Request
from tinylab.pruning.plan import DepthPlan

__all__ = ["choose_plan"]


def choose_plan(
    method: str,
    model: Denoiser,
    objective: Objective,
    data: Dataset | None,
    *,
    name: str,
    keep: int,
    seed: int,
    samples: int,
    indices: Sequence[int | str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DepthPlan:
    """Let the criterion `method` choose `keep` blocks of `model`, which is called `name` in the plan."""
    depth = model.stack_depths()
    request = Request(model, depth, keep, seed, indices, samples, objective, data, progress, protected_blocks(model))
    choice = CRITERIA.get(method)(request)
    details: dict[str, Any] = {"seed": seed, "keep": sum(map(len, choice.kept.values()))}
    if choice.scores:
        details |= {"scores": choice.scores, "samples": samples}
    return DepthPlan(choice.kept, depth, method, model=name, details=details)
