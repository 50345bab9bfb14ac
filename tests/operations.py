"""Watching which operations of torch run, and which of them make the host wait for a GPU."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

WAITS = {"nonzero", "_local_scalar_dense", "item", "is_nonzero", "masked_select", "equal", "unique"}


class Operations(TorchDispatchMode):
    """Remembers the name of every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))
