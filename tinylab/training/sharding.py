"""Tensors of which every process holds a part (DTensors), and whole ones."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["is_sharded", "local_parts", "shard_like", "whole"]


def is_sharded(module: nn.Module) -> bool:
    """Whether parameters of the module are spread over processes."""
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


def whole(tensor: Tensor) -> Tensor:
    """The tensor with all its parts. All processes must call this for a spread one, in the same order."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """This process's part of a whole tensor, spread as `pattern` is, if it is. All processes must call this."""
    if not isinstance(pattern, DTensor) or tensor.shape != pattern.shape:
        return tensor
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, pattern.placements)


def local_parts(tensors: Iterable[Tensor]) -> list[Tensor]:
    """What this process holds of every tensor; changes to it change the tensor."""
    return [t.to_local() if isinstance(t, DTensor) else t for t in map(torch.Tensor.detach, tensors)]
