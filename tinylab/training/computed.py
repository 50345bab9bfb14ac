"""How the models of a training are computed: precision, compiled blocks, blocks that are computed twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tinylab.config import LoopConfig
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.training.checkpointed import checkpointed_blocks
from tinylab.training.compiled import RECOMPILATIONS, CompiledBlocks

__all__ = ["autocast", "computed", "models_of"]


def models_of(task: object) -> list[Denoiser]:
    """What a task computes with: its `model` and its `teacher`, as far as it has them."""
    found = (getattr(task, name, None) for name in ("model", "teacher"))
    return [model for model in found if isinstance(model, Denoiser)]


@contextlib.contextmanager
def computed(models: Sequence[Denoiser], config: LoopConfig) -> Iterator[None]:
    """Within the context the models run as `config` says; gates and backward passes come inside it.

    Raises:
        BadRequest: there are no blocks to compile or to compute twice.
    """
    if not models and (config.compile or config.gradient_checkpointing):
        raise BadRequest("there are no transformer blocks; leave out --compile and --gradient-checkpointing")
    with contextlib.ExitStack() as undo:
        if config.compile:
            undo.enter_context(torch._dynamo.config.patch(recompile_limit=RECOMPILATIONS))
        for model in models:
            if config.compile:
                undo.enter_context(CompiledBlocks(model).applied())
            if config.gradient_checkpointing:
                undo.enter_context(checkpointed_blocks(model))
            if config.precision != "float32":
                for speaker in (model, getattr(model, "head", None)):  # a MAR's losses ask its head
                    if isinstance(speaker, nn.Module):
                        undo.callback(speaker.register_forward_hook(_in_float32).remove)
        yield


def autocast(config: LoopConfig, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The context in which losses are computed: matrix products in the precision that `config` names."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def _in_float32(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
    """What a model says, in float32: losses take differences of it, for which bfloat16 is too coarse."""
    if isinstance(output, Tensor):
        return output.float()
    if type(output) in (tuple, list):
        return type(output)(_in_float32(module, arguments, part) for part in output)
    return output
