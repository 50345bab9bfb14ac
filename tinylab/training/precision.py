"""How the models of a training are computed: precision, compiled blocks, blocks that are computed twice."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tinylab.config import LoopConfig
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.models.block_form import restored_forwards

__all__ = [
    "RECOMPILATIONS",
    "CompiledBlocks",
    "autocast",
    "checkpointed_blocks",
    "configured",
    "fresh_compiler",
    "models_of",
]


@contextlib.contextmanager
def checkpointed_blocks(model: Denoiser) -> Iterator[None]:
    """Within the context the blocks of `model` keep their inputs alone; backward passes may come after it.

    It goes around what is in place of a block's forward already, such as compiled code; gates come inside the context.
    Hooks on a block are called once a forward pass, as ever; those on parts of it once more in the backward pass.
    """
    blocks = _blocks(model)
    with restored_forwards(blocks):
        for block in blocks:
            block.forward = _recomputed(block.forward)  # type: ignore[method-assign]
        yield


def _blocks(model: Denoiser) -> list[nn.Module]:
    return [block for stack in model.block_stacks().values() for block in stack]


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return run


RECOMPILATIONS = 64  # modes of one block that are compiled; after that torch silently runs the rest uncompiled


@contextlib.contextmanager
def fresh_compiler() -> Iterator[None]:
    """Within the context, nothing compiled before counts, and several modes are compiled.

    With and without gradients, and with LoRA or not, a block is compiled again. After eight times torch would silently
    run the rest uncompiled: enough for one mode, not for all of them in one process.
    """
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=RECOMPILATIONS):
        yield


class CompiledBlocks:
    """The blocks of a model, compiled when they first run.

    Gates change the number of samples at every step, so that it is a symbol in the compiled code. Blocks of one class
    share that code.
    """

    def __init__(self, model: Denoiser) -> None:
        self._forwards: list[tuple[nn.Module, Callable[..., Any]]] = [
            (block, torch.compile(block.forward, dynamic=True)) for block in _blocks(model)
        ]

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context the blocks run compiled; gates come inside it."""
        with restored_forwards(block for block, _ in self._forwards):
            for block, forward in self._forwards:
                block.forward = forward  # type: ignore[method-assign]
            yield


def models_of(task: object) -> list[Denoiser]:
    """What a task computes with: its `model` and its `teacher`, as far as it has them."""
    found = (getattr(task, name, None) for name in ("model", "teacher"))
    return [model for model in found if isinstance(model, Denoiser)]


@contextlib.contextmanager
def configured(models: Sequence[Denoiser], config: LoopConfig) -> Iterator[None]:
    """Within the context the models run by `config`; gates and backward passes come inside it.

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
                for module in (model, getattr(model, "head", None)):  # a MAR's losses run its head by itself
                    if isinstance(module, nn.Module):
                        undo.callback(module.register_forward_hook(_in_float32).remove)
        yield


def autocast(config: LoopConfig, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """The context in which losses are computed: matrix products in the precision that `config` names."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def _in_float32(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
    """The output of a model, in float32: losses take differences of it, for which bfloat16 is too coarse."""
    if isinstance(output, Tensor):
        return output.float()
    if type(output) in (tuple, list):
        return type(output)(_in_float32(module, arguments, part) for part in output)
    return output
