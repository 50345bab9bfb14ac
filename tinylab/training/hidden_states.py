"""The hidden states that chosen blocks of a model leave behind."""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser

__all__ = ["hidden_states"]


@contextlib.contextmanager
def hidden_states(model: Denoiser, blocks: Sequence[tuple[str, int]]) -> Iterator[list[Tensor]]:
    """Within the context, forward passes fill the list with the outputs (N, T, D) of these blocks (stack, index), in
    this order.

    Raises:
        BadRequest: in a forward pass, when a block returns more than one hidden state.
    """
    stacks = model.block_stacks()
    states = [torch.empty(0)] * len(blocks)

    def keep(place: int):
        def hook(block: nn.Module, arguments: tuple, output: object) -> None:
            if not isinstance(output, Tensor):
                raise BadRequest(
                    f"{type(block).__name__} returns several hidden states; use --loss diffusion or --loss logit"
                )
            states[place] = output

        return hook

    hooks = [stacks[stack][i].register_forward_hook(keep(place)) for place, (stack, i) in enumerate(blocks)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
