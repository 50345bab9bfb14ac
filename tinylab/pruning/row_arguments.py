"""The arguments of a block for some samples of the batch, whatever the block takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tinylab.models.block_form import BlockForm

__all__ = ["Doubt", "take_rows"]

_CONSTANTS = (type(None), bool, int, float, str, torch.dtype, torch.device)


class Doubt(Exception):
    """An argument whose samples cannot be told."""


def take_rows(
    named: Sequence[tuple[str, Any]], rows: Tensor, count: int, *, form: BlockForm, states: Mapping[str, Tensor]
) -> list[Any]:
    """The values of the arguments for the samples `rows` (K,).

    Args:
        named: names and values of the arguments.
        count: samples in the batch.
        form: which arguments are shared.
        states: what takes the place of the hidden states, by name.

    Raises:
        Doubt: a value could belong to the samples or to the whole batch.
    """
    whole = len(rows) == count
    if not whole and not form.known and count in _lengths([value for _, value in named]):
        raise Doubt

    def take(name: str, value: Any) -> Any:
        if name in states:
            return states[name]
        shared = name in form.shared and not isinstance(value, list)  # a list may hold one entry a sample
        return value if whole or shared else _rows_of(value, rows, count)

    return [take(name, value) for name, value in named]


def _rows_of(value: Any, rows: Tensor, count: int) -> Any:
    """The entries `rows` of everything in `value` that has one entry for each of `count` samples."""
    if isinstance(value, Tensor):
        if value.dim() and len(value) == count:
            return value.index_select(0, rows)
        if value.dim() == 0 or len(value) == 1:
            return value  # holds for every sample
    elif isinstance(value, _CONSTANTS):
        return value
    elif type(value) is dict:
        return {key: _rows_of(entry, rows, count) for key, entry in value.items()}
    elif type(value) is tuple or (type(value) is list and len(value) != count):
        return type(value)(_rows_of(entry, rows, count) for entry in value)
    raise Doubt


def _lengths(values: Sequence[Any]) -> set[int]:
    """Sizes behind the first axis of all tensors, and their sums in pairs: what a number of tokens could be."""
    sizes = {size for value in values if isinstance(value, Tensor) for size in value.shape[1:]}
    return sizes | {a + b for a in sizes for b in sizes}
