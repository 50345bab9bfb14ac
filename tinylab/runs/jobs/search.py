"""Learn which layers to keep; save the plan and the model it leaves."""

from __future__ import annotations

from typing import Any

from tinylab.config import SearchConfig
from tinylab.data.base import load_data
from tinylab.diffusion import objective_for
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.load import load_model
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.checks import data_for
from tinylab.runs.context import JobContext
from tinylab.runs.outcome import save_plan_and_model
from tinylab.training.loop import run_loop
from tinylab.training.search import SearchTask, mask_record

__all__ = ["run"]


def run(config: SearchConfig, context: JobContext) -> dict[str, Any]:
    """Search to the last step, then cut the original weights by the decision."""
    model = load_model(config.model, config.device)
    train, held_out = load_data(data_for(config.data, config.model))
    objective = objective_for(model)
    task = SearchTask(model, objective, train, config)
    run_loop(task, config, context.run.checkpoints, context)
    scalars, vectors = mask_record(task.ema.module)
    depth = model.stack_depths()
    details = {
        "pattern": str(task.layout),
        "weights": config.weights,
        "steps": config.steps,
        "seed": config.seed,
        "confidence": [value for name, value in scalars.items() if name.startswith("confidence/")],
        "keep_probability": {stack: vectors[f"keep/{stack}"] for stack in depth},
    }
    plan = DepthPlan(task.decision(), depth, "learned", model=config.model, details=details)
    _, losses = save_plan_and_model(context, model, plan, lambda m: held_out_loss(m, objective, held_out).loss)
    return {
        "kept": {stack: list(indices) for stack, indices in plan.kept.items()},
        "confidence": details["confidence"],
        **losses,
    }
