"""What a training loop leaves to Hugging Face Accelerate: one process or several, whole weights or spread ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    FullyShardedDataParallelPlugin,
    parse_flag_from_env,
)
from torch import Tensor, nn

from tinylab.config import LoopConfig
from tinylab.distributed import join_group, process_group
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.training.precision import autocast
from tinylab.training.prefetch import Reader
from tinylab.training.sharding import whole
from tinylab.training.shares import check_shares, rows_of
from tinylab.training.task import Task

__all__ = ["Engine", "engine_for"]


class _Loss(nn.Module):
    """A task's loss as the forward of a module that holds what is trained: gradients are exchanged around it."""

    def __init__(self, task: Task, config: LoopConfig) -> None:
        super().__init__()
        self.task, self.config = task, config
        self.held = nn.ModuleDict(dict(task.modules))

    def forward(self, step: int, batch: Any) -> Tensor:
        with autocast(self.config, self.task.device):
            return self.task.loss(step, batch)


@contextlib.contextmanager
def engine_for(task: Task, config: LoopConfig) -> Iterator[Engine]:
    """An engine for one training. Accelerate keeps its state for the whole process: nothing of it is left behind."""
    _forget()
    try:
        yield Engine(task, config)
    finally:
        _forget()


def _forget() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # the process group stays
    GradientState._reset_state()


class Engine:
    """Carries out the steps of a task, this process its share of them.

    In one process without accumulation each step computes what plain PyTorch does, to the last bit.

    Attributes:
        main: whether this process writes.

    Raises:
        BadRequest: the batch cannot be shared out, or the task cannot be spread over processes.
    """

    def __init__(self, task: Task, config: LoopConfig) -> None:
        self.task, self.config, self.team = task, config, join_group()
        self.main = self.team.main
        check_shares(
            config.batch_size,
            processes=self.team.size,
            accumulation=config.accumulation,
            copies=config.batch_size // task.images,
        )
        self.rows = rows_of(
            task.images, process=self.team.rank, processes=self.team.size, accumulation=config.accumulation
        )
        self.accelerator = _accelerator(task)
        loss = _Loss(task, config)
        sharded = self.accelerator.is_fsdp2
        # Spread models gather their weights around their own forward; whole ones are exchanged around the loss.
        given = _whole_model(task) if sharded else loss
        self._trained, self.optimizer = self.accelerator.prepare(given, task.optimizer)
        self._loss = loss if sharded else self._trained
        self._parameters = [p for group in task.optimizer.param_groups for p in group["params"]]

    def backward(self, step: int, reader: Reader) -> Tensor:
        """Gradients of one step, averaged over micro-batches and processes; this process's mean loss."""
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for number in range(len(self.rows)):
            batch = reader.take()
            last = number + 1 == len(self.rows)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self._trained):
                loss = self._loss(step, batch)
                # The mean over micro-batches of equal size is the mean over the batch: sum of grad(L_k / K). The
                # division is left out for K = 1, and gradients are exchanged once, with the last micro-batch.
                # Accelerate's own backward looks for an optional library on the disk, at every call.
                (loss if len(self.rows) == 1 else loss / len(self.rows)).backward()
            losses.append(loss.detach())
        for parameter in self._parameters:
            # A block that no sample used has gradient zero. Left at None, AdamW would skip it: its moments would not
            # decay, and the step would depend on which blocks happened to be drawn.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def clip(self, largest: float) -> Tensor:
        """Cut the norm of all gradients together to `largest`; what it was before, whole."""
        # g <- g min(1, c / |g|), with |g| over all parameters: the direction of the step stays.
        return whole(nn.utils.clip_grad_norm_(self._parameters, largest))

    def update(self) -> None:
        """Move the weights."""
        self.optimizer.step()


def _accelerator(task: Task) -> Accelerator:
    """Set by the task alone: of a launcher's settings, only the number of processes and the spreading count."""
    spread = parse_flag_from_env("ACCELERATE_USE_FSDP") and process_group().size > 1
    plugin = _spreading(_whole_model(task)) if spread else None
    find_unused = getattr(task, "leaves_parameters_out", False)
    accelerator = Accelerator(
        cpu=task.device.type == "cpu",
        mixed_precision="no",  # see `autocast`: it is the same for whole and spread weights
        fsdp_plugin=plugin,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=find_unused)],
    )
    if plugin and accelerator.distributed_type == DistributedType.MULTI_CPU:
        # Accelerate 1.15 spreads weights over GPUs only; PyTorch's own part of it works over gloo, too.
        accelerator.state.fsdp_plugin = plugin
        accelerator.state.distributed_type = DistributedType.FSDP
    return accelerator


def _whole_model(task: Task) -> Denoiser:
    """The model of a task that trains all of it; BadRequest for other tasks."""
    model = getattr(task, "model", None)
    if not isinstance(model, Denoiser) or not hasattr(task, "ema") or getattr(task, "leaves_parameters_out", False):
        raise BadRequest("only the training of a whole model can be spread; use assets/accelerate/ddp.yaml instead")
    return model


def _spreading(model: Denoiser) -> FullyShardedDataParallelPlugin:
    """FSDP2 whose units are the model's own blocks, and the head that a MAR's losses run by itself."""
    units = [block for stack in model.block_stacks().values() for block in stack]
    units += [head for head in [getattr(model, "head", None)] if isinstance(head, nn.Module)]
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=sorted({type(unit).__name__ for unit in units}),
        cpu_ram_efficient_loading=False,  # every process has read the weights by now
    )
