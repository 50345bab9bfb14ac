"""Latents with everything that a text-to-image model was told of them, encoded once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tinylab.errors import BadRequest

__all__ = ["CachedInputs", "Conditions"]


class Conditions(dict[str, Any]):
    """Keyword arguments of a model for one batch."""

    def to(self, device: torch.device) -> Conditions:
        """The same on another device."""
        return Conditions({name: _move(value, device) for name, value in self.items()})


@dataclass(frozen=True)
class CachedInputs:
    """Clean latents and the conditions that belong to them.

    Attributes:
        latents: (K, ...), as the model takes them.
        conditions: further arguments of the model with one entry a sample, each a tensor (K, ...) or a list of K.
        shared: further arguments that are the same for all samples.
    """

    latents: Tensor
    conditions: Mapping[str, Tensor | list[Any]] = field(default_factory=dict)
    shared: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.latents):
            raise BadRequest("there are no latents; encode at least one image")
        for name, value in self.conditions.items():
            if len(value) != len(self.latents):
                raise BadRequest(
                    f"{name} has {len(value)} entries for {len(self.latents)} latents; give one each, or name it shared"
                )

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, chosen: Tensor) -> tuple[Tensor, Conditions]:
        """The latents `chosen` (N,) and the arguments that go with them."""
        picks = chosen.tolist()
        rows = {k: v[chosen] if isinstance(v, Tensor) else [v[i] for i in picks] for k, v in self.conditions.items()}
        return self.latents[chosen], Conditions({**rows, **self.shared})


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) in (list, tuple):
        return type(value)(_move(entry, device) for entry in value)
    if type(value) is dict:
        return {name: _move(entry, device) for name, entry in value.items()}
    return value
