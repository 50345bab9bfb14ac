"""A gate in place of a block's forward: m f(x) + (1 - m) x for every sample, whatever the block takes and returns."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.models.block_form import BlockForm

__all__ = ["Bypass", "DenseGate", "SkipGate"]

_CONSTANTS = (type(None), bool, int, float, str, torch.dtype, torch.device)


class DenseGate:
    """m f(x) + (1 - m) x, with m (N,) broadcast over everything behind the samples.

    Args:
        block: the module whose forward is replaced.
        mask: its column of the masks, (N,).
        form: which of its arguments are hidden states.
    """

    def __init__(self, block: nn.Module, mask: Tensor, form: BlockForm) -> None:
        self.forward: Callable[..., Any] = block.forward
        self.mask, self.form, self.name = mask, form, type(block).__name__
        self.parameters = _parameter_names(type(block).forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = self.hidden(args, kwargs, len(self.mask))
        after = self.entries(self.forward(*args, **kwargs), before)
        masks = [_broadcast(self.mask, x) for x in before]
        return self.pack([f * m + x * (1 - m) for f, x, m in zip(after, before, masks, strict=True)])

    def hidden(self, args: Sequence[Any], kwargs: Mapping[str, Any], count: int) -> list[Tensor]:
        """The hidden states among the arguments, in the order of what the block returns, each (count, ...)."""
        names = self.form.returns or (self.parameters[0],)
        given = dict(zip(self.parameters, args, strict=False)) | dict(kwargs)
        states = [given.get(name) for name in names]
        for name, state in zip(names, states, strict=True):
            if not isinstance(state, Tensor) or not state.dim() or len(state) != count:
                found = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
                raise BadRequest(
                    f"{self.name} got {found} as {name}: gates need a tensor with one entry for each of {count} masks"
                )
        return states  # type: ignore[return-value]  # all were just seen to be tensors

    def entries(self, result: Any, before: Sequence[Tensor]) -> list[Tensor]:
        """The new hidden states in what the block returned."""
        after = list(result) if self.form.returns and isinstance(result, (tuple, list)) else [result]
        shapes = [tuple(f.shape) if isinstance(f, Tensor) else type(f).__name__ for f in after]
        wanted = [tuple(x.shape) for x in before]
        if shapes != wanted:
            raise BadRequest(f"{self.name} returned {shapes} for hidden states {wanted}: it cannot be left out")
        return after

    def pack(self, states: list[Tensor]) -> Any:
        """The states as the block returns them."""
        return tuple(states) if self.form.returns else states[0]


class SkipGate(DenseGate):
    """The same, without the work that has no effect.

    Where the hard mask is 0 the output is x and its gradient passes straight through; only the gradient of the
    mask needs f(x) - x, as a number. So f runs without autograd for these samples. Where an argument could belong to
    the samples or to the whole batch, the dense formula decides: it never takes the batch apart.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = self.hidden(args, kwargs, len(self.mask))
        keep = self.mask.detach() > 0.5
        kept, dropped = keep.nonzero().squeeze(1), (~keep).nonzero().squeeze(1)
        if not len(kept) or not len(dropped):
            return self.pack(self._run(args, kwargs, self.mask, learn=len(kept) > 0))
        try:
            groups = [(rows, *self._take(args, kwargs, rows)) for rows in (kept, dropped)]
        except _Doubt:
            return super().__call__(*args, **kwargs)
        outs: list[Tensor] = []
        for rows, some_args, some_kwargs in groups:
            parts = self._run(some_args, some_kwargs, self.mask[rows], learn=rows is kept)
            if not outs:
                outs = [torch.empty_like(x, dtype=part.dtype) for x, part in zip(before, parts, strict=True)]
            outs = [out.index_copy(0, rows, part) for out, part in zip(outs, parts, strict=True)]
        return self.pack(outs)

    def _run(self, args: Sequence[Any], kwargs: Mapping[str, Any], mask: Tensor, *, learn: bool) -> list[Tensor]:
        before = self.hidden(args, kwargs, len(mask))
        with torch.set_grad_enabled(learn and torch.is_grad_enabled()):
            after = self.entries(self.forward(*args, **kwargs), before)
            changes = [f - x for f, x in zip(after, before, strict=True)]
        return [x + _broadcast(mask, x) * change for x, change in zip(before, changes, strict=True)]

    def _take(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], rows: Tensor
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the samples `rows` (K,)."""
        count = len(self.mask)
        if not self.form.known and count in _lengths([*args, *kwargs.values()]):
            raise _Doubt
        names = [*self.parameters, *[""] * len(args)]

        def take(name: str, value: Any) -> Any:
            shared = name in self.form.shared and not isinstance(value, list)  # a list may hold one entry a sample
            return value if shared else _rows_of(value, rows, count)

        positional = tuple(take(name, value) for name, value in zip(names, args, strict=False))
        return positional, {name: take(name, value) for name, value in kwargs.items()}


class _Doubt(Exception):
    """An argument whose samples cannot be told."""


def _rows_of(value: Any, rows: Tensor, count: int) -> Any:
    """The entries `rows` of everything in `value` that has one entry for each of `count` samples."""
    if isinstance(value, Tensor):
        if value.dim() and len(value) == count:
            return value[rows]
        if value.dim() == 0 or len(value) == 1:
            return value  # holds for every sample
    elif isinstance(value, _CONSTANTS):
        return value
    elif type(value) is dict:
        return {key: _rows_of(entry, rows, count) for key, entry in value.items()}
    elif type(value) is tuple or (type(value) is list and len(value) != count):
        return type(value)(_rows_of(entry, rows, count) for entry in value)
    raise _Doubt


def _lengths(values: Sequence[Any]) -> set[int]:
    """Sizes behind the first axis of all tensors, and their sums in pairs: what a number of tokens could be."""
    sizes = {size for value in values if isinstance(value, Tensor) for size in value.shape[1:]}
    return sizes | {a + b for a in sizes for b in sizes}


@functools.lru_cache
def _parameter_names(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the positional arguments of a class's forward, without `self`."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in inspect.signature(forward).parameters.values() if p.kind in kinds)[1:]


def _broadcast(mask: Tensor, x: Tensor) -> Tensor:
    """The mask (N,) in the dtype of x, with as many axes."""
    return mask.view(-1, *[1] * (x.dim() - 1)).to(x.dtype)


class Bypass:
    """In place of a block's forward: the hidden states as they came, with no work at all."""

    def __init__(self, block: nn.Module, form: BlockForm) -> None:
        self.form, self.parameters = form, _parameter_names(type(block).forward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(self.parameters, args, strict=False)) | kwargs
        states = tuple(given[name] for name in self.form.returns or (self.parameters[0],))
        return states if self.form.returns else states[0]
