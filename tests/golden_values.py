"""Reading `golden/`: inputs, random weights and the outputs that published reference implementations gave for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

__all__ = ["Golden", "load_golden", "relative_error"]


@dataclass(frozen=True)
class Golden:
    """One file: tensors by the name that follows `model.`, `input.` or `output.`, and the metadata."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of the model."""
        return json.loads(self.metadata["config"])

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below `name.`, without that prefix."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def load_golden(name: str) -> Golden:
    """The file `golden/<name>.safetensors`."""
    with safe_open(Path(__file__).parent / "golden" / f"{name}.safetensors", "pt") as file:
        return Golden({key: file.get_tensor(key) for key in file.keys()}, file.metadata())


def relative_error(found: Tensor, golden: Tensor) -> float:
    """‖found - golden‖ / ‖golden‖."""
    assert found.shape == golden.shape
    return ((found - golden).norm() / golden.norm()).item()
