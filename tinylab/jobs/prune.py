"""Choose layers by a rule, by hand or by a plan, and save the shallow model."""

from __future__ import annotations

from typing import Any

from tinylab.config import PruneConfig
from tinylab.data.base import load_data
from tinylab.diffusion import objective_for
from tinylab.jobs.choose_plan import choose_plan, save_plan_and_model
from tinylab.jobs.context import JobContext
from tinylab.metrics.cost import count_parameters
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.block_form import protected_blocks
from tinylab.models.load import load_model
from tinylab.pruning.criteria import DEFAULT, asked_layout
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.store import find_plan

__all__ = ["run"]


def run(config: PruneConfig, context: JobContext) -> dict[str, Any]:
    """Save `plan.json` and the shallow model; return the kept blocks, sizes and, where there is data, losses."""
    model = load_model(context.facts.model(config.model), config.device)
    data = context.facts.data_if_any(config.data, config.model)
    train, held_out = load_data(data) if data else (None, None)
    objective = objective_for(model)
    depth = model.stack_depths()

    def progress(done: int, total: int) -> None:
        context.progress(done, total)
        context.stop_here("resume it to score the blocks from the start")

    if config.plan is not None:
        plan = find_plan(config.plan)
    elif config.indices is not None:
        details = {"seed": config.seed, "keep": len(config.indices)}
        plan = DepthPlan.of(config.indices, depth, "indices", model=config.model, details=details)
    else:
        plan = choose_plan(
            config.method or DEFAULT,
            model,
            objective,
            train,
            name=config.model,
            layout=asked_layout(config.pattern, config.keep, depth, protected_blocks(model)),
            seed=config.seed,
            samples=config.samples,
            draws=config.draws,
            progress=progress,
        )
    measure = (lambda m: held_out_loss(m, objective, held_out).loss) if held_out is not None else None
    shallow, losses = save_plan_and_model(context, model, plan, measure)
    return {
        "method": plan.method,
        "kept": {stack: list(indices) for stack, indices in plan.kept.items()},
        **losses,
        "parameters_full": count_parameters(model),
        "parameters": count_parameters(shallow),
    }
