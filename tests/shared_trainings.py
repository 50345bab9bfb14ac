"""Trainings that one process and several can do: run by torchrun, each process its share, and by tests alone.

    torchrun --nproc_per_node 2 tests/shared_trainings.py FOLDER

FOLDER holds a tiny model of every family; what comes of the trainings goes there, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from memory_recorder import MemoryRecorder
from safetensors.torch import save_file
from torch import Tensor

from tinylab.config import SearchConfig, TrainConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.distributed import join_group
from tinylab.errors import BadRequest, Stopped
from tinylab.models.load import load_model
from tinylab.training.checkpointing import latest_checkpoint
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import run_loop
from tinylab.training.search import SearchTask

__all__ = ["CASES", "Outcome", "train"]

STEPS = 4
LOOP = {"steps": STEPS, "batch_size": 8, "log_every": 1, "checkpoint_every": 100, "threads": 1}


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        spread: whether weights are spread over the processes, where there are several.
        stop_at: the step after which the second process asks to stop; then it is resumed.
    """

    build: Callable[..., Any]
    config: dict[str, Any] = field(default_factory=dict)
    family: str = "dit"
    spread: bool = False
    stop_at: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What a training left: records by step, and everything that a checkpoint holds."""

    records: dict[str, list[float]]
    tensors: dict[str, Tensor]


def _recovery(folder: str, config: dict[str, Any]) -> tuple[DenoiseTask, TrainConfig]:
    model = load_model(folder)
    chosen = TrainConfig.create(**LOOP, lr=1e-3, warmup=0, ema_decay=0.9, **config)
    return DenoiseTask(model, objective_for(model), load_digits()[0], chosen, floor=0.1), chosen


def _search(folder: str, config: dict[str, Any]) -> tuple[SearchTask, SearchConfig]:
    model = load_model(folder)
    chosen = SearchConfig.create(**LOOP, pattern="1:2", weights="full", lr_mask=1e-2, **config)
    return SearchTask(model, objective_for(model), load_digits()[0], chosen), chosen


CASES = {
    "recovery": Case(_recovery),
    "micro-batches": Case(_recovery, {"accumulation": 2, "workers": 2}),
    "bfloat16": Case(_recovery, {"precision": "bfloat16", "gradient_checkpointing": True}),
    "mar": Case(_recovery, family="mar"),
    "search": Case(_search),
    "search-micro-batches": Case(_search, {"accumulation": 2}),
    "reinforce": Case(_search, {"estimator": "reinforce", "copies": 2}),
    "spread": Case(_recovery, {"gradient_checkpointing": True}, spread=True),
    "spread-micro-batches": Case(_recovery, {"accumulation": 2}, family="sit", spread=True),
    "spread-mar": Case(_recovery, {"accumulation": 2}, family="mar", spread=True),
    "spread-stopped": Case(_recovery, spread=True, stop_at=2),
    "stopped": Case(_recovery, stop_at=2),
}


def train(case: Case, models: Path, folder: Path, rank: int = 0) -> Outcome:
    """Do the training, in two goes where it is stopped."""
    os.environ["ACCELERATE_USE_FSDP"] = str(case.spread).lower()
    memory = MemoryRecorder(stop_at=case.stop_at if rank == 1 else None)
    task, config = case.build(str(models / case.family), case.config)
    for group in task.optimizer.param_groups:
        group["eps"] = 1e-3  # a gradient that is zero but for rounding must not become a whole step
    try:
        run_loop(task, config, folder, memory)
    except Stopped:
        memory.stop_at = None
        task, config = case.build(str(models / case.family), case.config)
        task.optimizer.param_groups[0]["eps"] = 1e-3
        run_loop(task, config, folder, memory)
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    rows = {str(step): list(record.scalars.values()) for step, record in memory.records.items()}
    return Outcome(rows, checkpoint.tensors | _seen(task))


def _seen(task: Any) -> dict[str, Tensor]:
    """What jobs use after the training."""
    return {f"after.{name}": value.clone() for name, value in task.ema.module.state_dict().items()}


def main(work: Path) -> None:
    torch.set_num_threads(1)
    team = join_group()
    for name, case in CASES.items():
        found = train(case, work, work / name, team.rank)
        losses = {f"records.{step}": torch.tensor(row) for step, row in found.records.items()}
        save_file(found.tensors | losses, work / f"{name}-{team.rank}.safetensors")
    try:
        train(Case(_search, spread=True), work, work / "refused", team.rank)
    except BadRequest as refusal:
        (work / f"refused-{team.rank}.txt").write_text(str(refusal))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
