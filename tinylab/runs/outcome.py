"""What pruning jobs leave behind: the plan, and the shallow model with its card."""

from __future__ import annotations

from tinylab.models.base import Denoiser
from tinylab.models.load import save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.cards import shallow_card
from tinylab.runs.context import JobContext

__all__ = ["save_plan_and_model"]


def save_plan_and_model(context: JobContext, model: Denoiser, plan: DepthPlan) -> Denoiser:
    """Cut `model` by `plan`, save both in the run, and return the shallow model."""
    shallow = apply_plan(model, plan)
    save_model(shallow, context.run.model_path, card=shallow_card(plan, recovered=None))
    plan.save(context.run.plan_path)
    return shallow
