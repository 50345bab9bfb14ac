"""What modules inside a model were given and what they returned."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

__all__ = ["Call", "watched"]


@dataclass(frozen=True)
class Call:
    """One call of a module: its arguments by position and by name, and what it returned."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any


@contextlib.contextmanager
def watched(modules: Iterable[nn.Module]) -> Iterator[dict[nn.Module, Call]]:
    """Within the block, the dictionary holds the latest call of each of these modules."""
    calls: dict[nn.Module, Call] = {}

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        calls[module] = Call(args, kwargs, output)

    hooks = [module.register_forward_hook(hook, with_kwargs=True) for module in dict.fromkeys(modules)]
    try:
        yield calls
    finally:
        for handle in hooks:
            handle.remove()
