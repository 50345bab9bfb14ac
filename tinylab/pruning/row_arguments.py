"""The arguments of a block for some samples of the batch, whatever the block takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tinylab.models.block_form import BlockForm
from tinylab.pruning.batch_rows import BlockRows

__all__ = ["Doubt", "join_rows", "split_rows", "take_rows"]

_CONSTANTS = (type(None), bool, int, float, str, torch.dtype, torch.device)


class Doubt(Exception):
    """An argument of which it is not known which entries belong to which samples."""


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


def split_rows(x: Tensor, rows: BlockRows) -> tuple[Tensor, Tensor]:
    """The samples of x (N, ...) that keep the block, (K, ...), and those that drop it, (N - K, ...)."""
    return _Split.apply(x, rows.kept, rows.dropped)  # type: ignore[no-untyped-call]


def join_rows(
    after: Tensor, passed: Tensor, rows: BlockRows, *, mask: Tensor, changes: tuple[Tensor, Tensor] | None
) -> Tensor:
    """m f(x) + (1 - m) x, put together from f(x) of the samples that keep the block and x of those that drop it.

    Args:
        after: f(x), (K, ...).
        passed: x, (N - K, ...).
        mask: m (N,), hard.
        changes: f(x) - x of the samples that keep the block, and of the asked ones that drop it: they give the
            gradient of the mask, <f(x) - x, gradient of the output> of every sample. None for a mask without one.

    Returns:
        (N, ...), in the wider of the two dtypes.
    """
    return _Join.apply(after, passed, mask, rows, *(changes or (None, None)))  # type: ignore[no-untyped-call]


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
        ctx.rows = kept, dropped
        return x.index_select(0, kept), x.index_select(0, dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_kept: Tensor, to_dropped: Tensor) -> tuple[Tensor | None, ...]:
        return _together(to_kept, to_dropped, *ctx.rows), None, None


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        after: Tensor,
        passed: Tensor,
        mask: Tensor,
        rows: BlockRows,
        kept: Tensor | None,
        asked: Tensor | None,
    ) -> Tensor:
        ctx.rows, ctx.dtypes = rows, (after.dtype, passed.dtype, mask.dtype)
        if kept is not None and asked is not None:
            ctx.save_for_backward(kept, asked)
        return _together(after, passed, rows.kept, rows.dropped)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor | None, ...]:
        rows, dtypes, wanted = ctx.rows, ctx.dtypes, ctx.needs_input_grad
        to_kept = out.index_select(0, rows.kept)
        to_dropped = out.index_select(0, rows.dropped if wanted[1] else rows.dropped[: rows.asked])
        to_mask = None
        if wanted[2] and ctx.saved_tensors:
            # dL/dm_n = <f(x_n) - x_n, dL/dx'_n>: exact for kept samples; of the dropped ones those that were asked,
            # each weighted for all it stands for, and zero for the others.
            kept, asked = ctx.saved_tensors
            exact, estimated = _dot(kept, to_kept), rows.weight * _dot(asked, to_dropped[: rows.asked])
            to_mask = exact.new_zeros(len(out)).index_copy_(0, rows.kept, exact)
            to_mask = to_mask.index_copy_(0, rows.dropped[: rows.asked], estimated).to(dtypes[2])
        return to_kept.to(dtypes[0]), to_dropped.to(dtypes[1]) if wanted[1] else None, to_mask, None, None, None


def _together(first: Tensor, second: Tensor, first_rows: Tensor, second_rows: Tensor) -> Tensor:
    """(N, ...) with `first` and `second` at their rows."""
    dtype = torch.promote_types(first.dtype, second.dtype)
    whole = first.new_empty((len(first) + len(second), *first.shape[1:]), dtype=dtype)
    for part, rows in ((first, first_rows), (second, second_rows)):
        whole.index_copy_(0, rows, part.to(dtype))
    return whole


def _dot(change: Tensor, gradient: Tensor) -> Tensor:
    """The sum of the product of every sample, (K,), never in less than float32."""
    wide = torch.promote_types(change.dtype, torch.float32)
    return (change.to(wide) * gradient.to(wide)).flatten(1).sum(dim=1)
