"""Recover a cut model by training it on, with snapshots of its samples on the way."""

from __future__ import annotations

from typing import Any

import torch

from tinylab.config import FinetuneConfig
from tinylab.data.base import load_data
from tinylab.diffusion import objective_for
from tinylab.metrics.cost import count_parameters
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.load import load_model, save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.cards import shallow_card
from tinylab.runs.checks import data_for, recovery_source
from tinylab.runs.context import JobContext
from tinylab.sampling import SAMPLERS_OF
from tinylab.sampling.generate import Settings, generate
from tinylab.sampling.images import grid_png, to_uint8
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import run_loop

__all__ = ["RECOVERY_FLOOR", "run"]

RECOVERY_FLOOR = 0.1  # share of the learning rate that is left at the last step


def _snapshot_settings(family: str) -> Settings:
    """Few steps and fixed noise, at the start alone where the family can: one picture's way through the training."""
    return Settings("ddim" if "ddim" in SAMPLERS_OF[family] else "auto", steps=20, guidance=1.5, seed=0)


def run(config: FinetuneConfig, context: JobContext) -> dict[str, Any]:
    """Cut, train to the last step, save the averaged weights in `model/`; return the losses around it."""
    if context.run.plan_path.is_file():  # resumed: the plan it was begun with, whatever became of its source
        plan = DepthPlan.load(context.run.plan_path)
        name = plan.model
    else:
        name, plan = recovery_source(config)
        plan.save(context.run.plan_path)
    full = load_model(name, config.device)
    train, held_out = load_data(data_for(config.data, name))
    objective = objective_for(full)
    shallow = apply_plan(full, plan)
    losses = {"loss_full": full, "loss_pruned": shallow}
    result: dict[str, Any] = {key: held_out_loss(m, objective, held_out).loss for key, m in losses.items()}
    classes, settings = torch.arange(shallow.num_classes)[:10], _snapshot_settings(shallow.family)

    def snapshot(task: DenoiseTask, step: int) -> None:
        if config.snapshot_every and (step % config.snapshot_every == 0 or step == config.steps):
            images = generate(task.ema.module, objective, classes, settings)
            context.artifact(f"snapshots/{step:07d}.png", grid_png(to_uint8(images), len(classes), scale=6))

    task = DenoiseTask(shallow, objective, train, config, floor=RECOVERY_FLOOR, on_step=snapshot)
    if config.snapshot_every and not (context.run.artifacts / "snapshots").exists():
        images = generate(shallow, objective, classes, settings)
        context.artifact("snapshots/0000000.png", grid_png(to_uint8(images), len(classes), scale=6))
    run_loop(task, config, context.run.checkpoints, context)
    recovered = task.ema.module
    result["loss_finetuned"] = held_out_loss(recovered, objective, held_out).loss
    save_model(recovered, context.run.model_path, card=shallow_card(plan, recovered=config, scores=result))
    return {
        **result,
        "kept": {stack: list(indices) for stack, indices in plan.kept.items()},
        "method": plan.method,
        "parameters_full": count_parameters(full),
        "parameters": count_parameters(recovered),
    }
