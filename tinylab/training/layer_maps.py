"""Which of the teacher's blocks each block of a student stands for and learns from. Free of torch."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from tinylab.config.recovery import LayerMap
from tinylab.errors import BadRequest
from tinylab.pruning.plan import DepthPlan

__all__ = ["LAYER_MAPS", "layer_map", "spans"]


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


def _kept(kept: Sequence[int], depth: int) -> Sequence[int]:
    """Its own place in the teacher."""
    return kept


def _span(kept: Sequence[int], depth: int) -> Sequence[int]:
    """The last block before the next one that stays: the student's block stands for all of them."""
    return [span[-1] for span in spans(kept, depth)]


def _published(kept: Sequence[int], depth: int) -> Sequence[int]:
    """Whatever was kept, the last of every group of depth / kept blocks: 1, 3, …, 27 for 14 of 28."""
    if depth % len(kept):
        raise BadRequest(f"layer-map published: {depth} blocks do not make {len(kept)} equal groups; use kept or span")
    return range(depth // len(kept) - 1, depth, depth // len(kept))


LAYER_MAPS: Mapping[LayerMap, Callable[[Sequence[int], int], Sequence[int]]] = MappingProxyType(
    {"kept": _kept, "span": _span, "published": _published}
)


def layer_map(plan: DepthPlan, name: LayerMap) -> list[tuple[str, int, int]]:
    """(stack, block of the student, block of the teacher) for every block that stays.

    Raises:
        BadRequest: the published map does not fit these depths.
    """
    return [
        (stack, block, taught)
        for stack, kept in plan.kept.items()
        for block, taught in enumerate(LAYER_MAPS[name](kept, plan.depth[stack]))
    ]
