"""Recover a cut model: warm start, training, with snapshots of its samples on the way."""

import json
from typing import Any

from tinylab.config import FinetuneConfig
from tinylab.config.recovery import CutConfig
from tinylab.jobs.cards import shallow_card
from tinylab.jobs.context import JobContext
from tinylab.jobs.model_and_data import ModelAndData
from tinylab.jobs.part_recorder import PartRecorder
from tinylab.jobs.snapshots import Snapshots
from tinylab.metrics.activations import measure_activations
from tinylab.metrics.cost import count_parameters
from tinylab.metrics.layer_activations import activations_to_json
from tinylab.models.load import save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.run import ACTIVATIONS
from tinylab.training.checkpointing import latest_checkpoint
from tinylab.training.denoise import DenoiseTask
from tinylab.training.recover import recover

__all__ = ["RECOVERY_FLOOR", "begun_plan", "run"]

RECOVERY_FLOOR = 0.1  # share of the learning rate that is left at the last step, where jobs do not ask


def run(config: FinetuneConfig, context: JobContext) -> dict[str, Any]:
    """Cut, train to the last step, save the averaged weights in `model/`; return the losses around it."""
    plan = begun_plan(config, context)
    full = ModelAndData.load(plan.model, config.data, config.device, context.facts)
    teacher, objective = full.model, full.objective
    student = apply_plan(teacher, plan)
    result: dict[str, Any] = {"loss_full": full.loss(teacher), "loss_pruned": full.loss(student)}
    snapshots = Snapshots(config, context, objective, student, full.train)

    def on_step(task: DenoiseTask, step: int) -> None:
        if snapshots.due(step):
            snapshots.show(task.ema.module, step)

    if snapshots.due(0) and latest_checkpoint(context.run.checkpoints) is None:
        snapshots.show(student, 0)
    recovered = recover(
        student,
        teacher,
        plan,
        objective,
        full.train,
        config,
        checkpoints=context.run.checkpoints,
        recorder=context,
        warm_recorder=PartRecorder(context, "warm-start", "warm start", 0, config.warm_steps),
        on_step=on_step,
    )
    if not context.main:  # one process is enough to judge it
        return {}
    result["loss_finetuned"] = full.loss(recovered)
    models = {"teacher": teacher, "cut": apply_plan(teacher, plan), "recovered": recovered}
    found = {name: activations_to_json(measure_activations(m, objective, full.held_out)) for name, m in models.items()}
    context.artifact(ACTIVATIONS, json.dumps(found).encode())
    save_model(recovered, context.run.model_path, card=shallow_card(plan, recovered=config, scores=result))
    return {
        **result,
        "kept": {stack: list(indices) for stack, indices in plan.kept.items()},
        "method": plan.method,
        "learning_rate": config.rate,
        "parameters_full": count_parameters(teacher),
        "parameters": count_parameters(recovered),
    }


def begun_plan(config: CutConfig, context: JobContext) -> DepthPlan:
    """The plan; of a resumed run the one it was begun with, whatever became of its source."""
    if context.run.plan_path.is_file():
        return DepthPlan.load(context.run.plan_path)
    plan = context.facts.cut(config)
    if context.main:
        plan.save(context.run.plan_path)
    return plan
