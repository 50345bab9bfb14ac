"""What pruning jobs leave behind: the plan, and the shallow model with its card."""

from __future__ import annotations

from collections.abc import Callable

from tinylab.models.base import Denoiser
from tinylab.models.load import save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.cards import shallow_card
from tinylab.runs.context import JobContext

__all__ = ["save_plan_and_model"]


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
