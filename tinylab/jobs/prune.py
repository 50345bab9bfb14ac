"""Choose layers by a rule, by hand or by a plan, and save the shallow model."""

from collections.abc import Callable, Sequence
from typing import Any

from tinylab.config import PruneConfig
from tinylab.data.base import Dataset, load_data
from tinylab.diffusion import Objective, objective_for
from tinylab.jobs.cards import shallow_card
from tinylab.jobs.context import JobContext
from tinylab.metrics.cost import count_parameters
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.base import Denoiser
from tinylab.models.block_form import protected_blocks
from tinylab.models.load import load_model, save_model
from tinylab.pruning.criteria import CRITERIA, DEFAULT, Request, asked_layout
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.store import find_plan

__all__ = ["choose_plan", "run", "save_plan_and_model"]


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
        draws: random choices that best, median and worst of random score.
        progress: called with the steps that are done and their number; at the end with all of them.

    Raises:
        BadRequest: the method cannot follow the layout, or lacks data.
    """
    steps = 1

    def report(done: int, total: int) -> None:
        nonlocal steps
        steps = total
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
        progress=report,
        protected=protected_blocks(model),
    )
    choice = CRITERIA.get(method)(request)
    progress(steps, steps)  # a search may need fewer steps than it announced, a rule by place none
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
