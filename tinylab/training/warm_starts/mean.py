"""A kept block becomes the mean of its span (Amber-Image: arXiv:2602.17047)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.training.warm_starts.base import WarmUp

__all__ = ["start"]


@torch.no_grad()
def start(given: WarmUp) -> None:
    """Every weight of a student's block becomes the mean over the teacher's blocks of its span.

    Blocks that were removed before the first kept one have no part in it. Needs no data.

    Raises:
        BadRequest: the blocks of a span differ in shape; then nothing was changed.
    """
    found: list[tuple[nn.Module, dict[str, Tensor]]] = []
    taught = given.teacher.block_stacks()
    for stack, _, block, span in given.merged():
        _check_alike(taught[stack], span, stack)
        # W = the mean over the span of W_j, for every tensor W of a block.
        found.append((block, _mean_state([taught[stack][index] for index in span])))
    for block, state in found:
        block.load_state_dict(state, strict=True)


def _mean_state(blocks: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The mean of all parameters and buffers, in float64; of those that are no numbers with a point, the first."""
    states = [block.state_dict() for block in blocks]

    def mean(name: str, first: Tensor) -> Tensor:
        if not first.is_floating_point():
            return first
        total = torch.zeros_like(first, dtype=torch.float64)
        for state in states:
            total += state[name]
        return (total / len(states)).to(first.dtype)

    return {name: mean(name, value) for name, value in states[0].items()}


def _check_alike(blocks: nn.ModuleList, span: range, stack: str) -> None:
    shapes = [{name: value.shape for name, value in blocks[index].state_dict().items()} for index in span]
    for index, shape in zip(span, shapes, strict=True):
        if shape != shapes[0]:
            raise BadRequest(
                f"blocks {span[0]} and {index} of {stack!r} differ in shape and have no mean; use --warm-start none"
            )
