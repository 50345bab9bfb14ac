"""Lets torchvision be imported beside a torch without CUDA.

The wheel of torchvision on PyPI is built for CUDA. Beside a CPU torch its library of operators cannot be loaded, and
then its import fails at the first operator it describes, and with it that of torch-fidelity, peft and parts of
diffusers. None of them needs these operators. Declaring the two that are described at import is all that is missing.
"""

import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["declare_when_imported"]

_SCHEMAS = ("nms", "qnms")
_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept: list[Any] = []  # declarations last as long as their library


class _Finder:
    """Finds no module itself: it is asked before torchvision is imported, and declares what that will need."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Nothing; see the class."""
        if name == "torchvision":
            sys.meta_path.remove(cls)
            _declare(importlib.machinery.PathFinder.find_spec(name, path))
        return None


def declare_when_imported() -> None:
    """From now on `import torchvision` works beside any torch. Costs nothing before that import."""
    if _Finder not in sys.meta_path and "torchvision" not in sys.modules:
        sys.meta_path.insert(0, _Finder)


def _declare(spec: importlib.machinery.ModuleSpec | None) -> None:
    """Declare the operators unless the library that brings them can be loaded."""
    folder = next(iter(spec.submodule_search_locations or ()), None) if spec else None
    if folder is None:  # no torchvision
        return
    import torch

    try:
        for path in Path(folder).glob("_C*.so"):
            torch.ops.load_library(path)
            return
    except OSError:
        pass
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _SCHEMAS:
        library.define(name + _ARGUMENTS)
    _kept.append(library)
