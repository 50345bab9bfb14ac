"""From the name of a method to a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinylab.data.base import Dataset
from tinylab.diffusion import Objective
from tinylab.jobs.cards import shallow_card
from tinylab.jobs.context import JobContext
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.models.load import save_model
from tinylab.pruning.criteria import CRITERIA, Request
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan

__all__ = ["choose_plan", "save_plan_and_model"]


def choose_plan(
    method: str,
    model: Denoiser,
    objective: Objective,
    data: Dataset | None,
    *,
    name: str,
    layout: Layout,
    seed: int,
    samples: int,
    indices: Sequence[int | str] | None = None,
    draws: int = 32,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DepthPlan:
    """Let the criterion `method` choose the blocks of `model` that stay as `layout` asks.

    Args:
        name: what the model is called in the plan.
        samples: images of `data` that scores are taken over.
        draws: random choices that best, median and worst of random look at.
        progress: told how many steps are done, and of how many; at the end of all of them.

    Raises:
        BadRequest: the method cannot follow the layout, or lacks data.
    """
    totals = [1]

    def tell(done: int, total: int) -> None:
        totals.append(total)
        progress(done, total)

    request = Request(
        model,
        layout,
        objective=objective,
        data=data,
        seed=seed,
        samples=samples,
        draws=draws,
        indices=indices,
        progress=tell,
        protected=protected_blocks(model),
    )
    choice = CRITERIA.get(method)(request)
    progress(totals[-1], totals[-1])  # a search may need fewer steps than it feared, a rule by place none
    details: dict[str, Any] = {"seed": seed, "keep": sum(map(len, choice.kept.values())), "pattern": str(layout)}
    if choice.scores:
        details |= {"scores": choice.scores, "samples": samples}
    if CRITERIA.entry(method).forwards == "R":
        details |= {"draws": draws, "samples": samples}
    return DepthPlan(choice.kept, layout.depth, method, model=name, details=details)


def save_plan_and_model(
    context: JobContext, model: Denoiser, plan: DepthPlan, measure: Callable[[Denoiser], float] | None
) -> tuple[Denoiser, dict[str, float]]:
    """Cut `model` by `plan` and save both in the run; the shallow model, and what `measure` finds, if given."""
    shallow = apply_plan(model, plan)
    losses = {"loss_full": measure(model), "loss_pruned": measure(shallow)} if measure else {}
    if context.main:
        save_model(shallow, context.run.model_path, card=shallow_card(plan, recovered=None, scores=losses))
        plan.save(context.run.plan_path)
    return shallow, losses
