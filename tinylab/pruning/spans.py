"""Which blocks of the teacher a block of the student stands for. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["spans"]


def spans(kept: Sequence[int], depth: int, *, covering: bool = False) -> tuple[range, ...]:
    """For every kept block its span: itself and the removed blocks up to the next kept one, the last one to the end.

    Args:
        kept: indices of the kept blocks, ascending.
        depth: number of blocks before the cut.
        covering: the first span begins at block 0, so that the spans cover the stack; else blocks that were removed
            before the first kept one belong to no span.
    """
    starts = [0, *kept[1:]] if covering else list(kept)
    return tuple(range(first, after) for first, after in pairwise([*starts, depth]))
