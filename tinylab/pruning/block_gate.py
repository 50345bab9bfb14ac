"""A gate in place of a block's forward: m f(x) + (1 - m) x for every sample, whatever the block takes and returns."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.models.block_form import BlockForm
from tinylab.pruning.batch_rows import BlockRows
from tinylab.pruning.row_arguments import Doubt, join_rows, split_rows, take_rows

__all__ = ["Bypass", "DenseGate", "SkipGate"]

_Call = tuple[Sequence[Any], Mapping[str, Any]]


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
        self.states = form.returns or (self.parameters[0],)  # the arguments that are hidden states

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = self.hidden(args, kwargs, len(self.mask))
        after = self.entries(self.forward(*args, **kwargs), before)
        # x' = m f(x) + (1 - m) x (TinyFusion, section 3): f for m = 1, the identity for m = 0. The gradient of m is
        # <f(x) - x, dL/dx'>, also where the block was dropped: that is how a search learns to take a block back.
        masks = [_broadcast(self.mask, x) for x in before]
        return self.pack([f * m + x * (1 - m) for f, x, m in zip(after, before, masks, strict=True)])

    def hidden(self, args: Sequence[Any], kwargs: Mapping[str, Any], count: int) -> list[Tensor]:
        """The hidden states among the arguments, in the order of what the block returns, each (count, ...)."""
        given = dict(zip(self.parameters, args, strict=False)) | dict(kwargs)
        states = [given.get(name) for name in self.states]
        for name, state in zip(self.states, states, strict=True):
            if not isinstance(state, Tensor) or not state.dim() or len(state) != count:
                found = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
                raise BadRequest(
                    f"{self.name} got {found} as {name}: gates need a tensor with one entry for each of {count} masks"
                )
        return states  # type: ignore[return-value]  # all are tensors, as checked above

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
    """The same for hard masks, without the work that has no effect.

    Where the mask is 0 the output is x and its gradient passes straight through; only the gradient of the mask needs
    f(x) - x, as a number. So f runs without autograd for the `rows.asked` of these samples, and not at all if the mask
    needs no gradient. Where an argument could belong to the samples or to the whole batch, the dense formula decides:
    it never takes the batch apart.
    """

    def __init__(self, block: nn.Module, mask: Tensor, form: BlockForm, rows: BlockRows) -> None:
        super().__init__(block, mask, form)
        self.rows = rows

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = self.hidden(args, kwargs, len(self.mask))
        # With m = 0 the dense formula has dL/dx = dL/dx' and dL/d(weights of f) = 0, since f(x) enters times m. So f
        # need not be differentiated for these samples, and leaving its graph out changes no gradient; only dL/dm needs
        # the number f(x) - x. With m = 1, x' = f(x), and x enters through f alone.
        learns = torch.is_grad_enabled() and self.mask.requires_grad
        asked = self.rows.dropped[: self.rows.asked if learns else 0]
        if not len(self.rows.kept) and not len(asked):
            return self.pack(before)
        kept, passed = zip(*[split_rows(x, self.rows) for x in before], strict=True)
        sample = [x[: len(asked)].detach() for x in passed]
        try:
            kept_call = self._take(args, kwargs, self.rows.kept, kept)
            asked_call = self._take(args, kwargs, asked, sample)
        except Doubt:
            return super().__call__(*args, **kwargs)
        after = self._run(kept_call, kept)
        with torch.no_grad():
            sample_after = self._run(asked_call, sample)
            changes = [
                (f - x, g - y) if learns else None for f, x, g, y in zip(after, kept, sample_after, sample, strict=True)
            ]
        parts = zip(after, passed, changes, strict=True)
        return self.pack([join_rows(f, x, self.rows, mask=self.mask, changes=change) for f, x, change in parts])

    def _take(self, args: Sequence[Any], kwargs: Mapping[str, Any], rows: Tensor, states: Sequence[Tensor]) -> _Call:
        """The arguments of the samples `rows` (K,), whose hidden states are `states`."""
        names = [*self.parameters, *[""] * len(args)]
        named = [*zip(names, args, strict=False), *kwargs.items()]
        ours = dict(zip(self.states, states, strict=True))
        values = take_rows(named, rows, len(self.mask), form=self.form, states=ours)
        return values[: len(args)], dict(zip(kwargs, values[len(args) :], strict=True))

    def _run(self, call: _Call, states: Sequence[Tensor]) -> Sequence[Tensor]:
        """The hidden states after the block; it is not called for no samples."""
        args, kwargs = call
        return self.entries(self.forward(*args, **kwargs), states) if len(states[0]) else states


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
