"""Which samples of a batch go through which block, decided on the CPU for all blocks at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tinylab.errors import BadRequest

__all__ = ["BlockRows", "choose_rows"]

_TOLERANCE = 1e-2  # a straight-through mask, hard - soft + soft, misses 0 and 1 by rounding errors, also in bfloat16


@dataclass(frozen=True)
class BlockRows:
    """The samples of a batch as one block sees them: indices into the batch, on the device of the model, ascending in
    `kept` and among the asked ones.

    Attributes:
        kept: samples whose mask is 1, (K,).
        dropped: samples whose mask is 0, (N - K,).
        asked: how many samples at the front of `dropped` run through the block without gradients, for the mask's.
    """

    kept: Tensor
    dropped: Tensor
    asked: int

    @property
    def weight(self) -> float:
        """How many dropped samples an asked one stands for."""
        # Each dropped sample is asked with probability a / d, so weighting by d / a makes the sum over the asked ones
        # an unbiased estimate of the sum over all d (Horvitz & Thompson 1952).
        return len(self.dropped) / max(1, self.asked)


def choose_rows(
    masks: Tensor, device: torch.device, *, share: float = 1.0, generator: torch.Generator | None = None
) -> list[BlockRows]:
    """The rows of every block, sent to the device as one tensor.

    Args:
        masks: hard masks (N, blocks), on the CPU.
        share: the part of the dropped samples of a block that is asked, at least one of them.
        generator: what the asked ones are drawn from; None for the first ones.

    Raises:
        BadRequest: a mask is neither 0 nor 1.
    """
    keep = masks.T > 0.5  # (blocks, N)
    distance = (masks.T - keep.to(masks.dtype)).abs()
    # `tolist` reads the memory of a tensor on the CPU; `item` and truth values would go through the dispatcher.
    if not (distance <= _TOLERANCE).all().tolist():
        raise BadRequest('a mask is neither 0 nor 1; give hard masks, or take the way "dense"')
    counts: list[int] = keep.sum(dim=1).tolist()
    asked = [_asked(keep.shape[1] - kept, share) for kept in counts]
    order = _order(keep, asked, generator).to(device, non_blocking=True)
    return [BlockRows(row[:k], row[k:], n) for row, k, n in zip(order.unbind(), counts, asked, strict=True)]


def _asked(dropped: int, share: float) -> int:
    return min(dropped, max(1, round(share * dropped)))


def _order(keep: Tensor, asked: list[int], generator: torch.Generator | None) -> Tensor:
    """The samples of every block, (blocks, N): kept ones, asked ones, then the rest, each in the order of the batch."""
    # Uniform keys, sorted, give a uniform random order (Kool et al. 2019, arXiv:1903.06059, draw without replacement
    # with Gumbel keys for unequal chances); its first `asked` are the sample. Keys of kept ones are 2, above all
    # others, and a stable sort of the three classes 0, 1, 2 keeps the order of the batch within each.
    chance = torch.zeros(keep.shape) if generator is None else torch.rand(keep.shape, generator=generator)
    rank = chance.masked_fill(keep, 2.0).argsort(dim=1, stable=True).argsort(dim=1)  # the dropped ones come first
    part = 1 + (rank >= torch.tensor(asked).unsqueeze(1)).int()
    return part.masked_fill(keep, 0).argsort(dim=1, stable=True)
