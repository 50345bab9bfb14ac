"""Block influence (ShortGPT: Men et al. 2024, arXiv:2403.03853): how far a block turns its input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinylab.errors import BadRequest
from tinylab.metrics.denoising import noised_batches
from tinylab.pruning.criteria.base import Choice, Request, keep_highest

__all__ = ["block_influence", "choose"]


def choose(request: Request) -> Choice:
    """Keep the blocks with the highest influence on noised samples over all times."""
    return keep_highest(block_influence(request), request.keep)


@torch.no_grad()
def block_influence(request: Request) -> dict[str, list[float]]:
    """1 - E[cos(x_in, x_out)] per block, over tokens, samples and times."""
    if request.data is None:
        raise BadRequest("this method looks at data; name some with --data")
    model, device = request.model.eval(), next(request.model.parameters()).device
    stacks = model.block_stacks()
    turns = {stack: torch.zeros(len(blocks), dtype=torch.float64) for stack, blocks in stacks.items()}
    done = 0

    def watch(stack: str, index: int):
        def hook(block: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            cosine = F.cosine_similarity(arguments[0].float(), output.float(), dim=-1)  # (N, T)
            turns[stack][index] += (1 - cosine.mean(dim=1)).sum().double().cpu()

        return hook

    hooks = [b.register_forward_hook(watch(s, i)) for s, blocks in stacks.items() for i, b in enumerate(blocks)]
    try:
        for batch in noised_batches(request.objective, request.data, request.samples, request.seed, device):
            request.objective.forward(model, batch.x, batch.y, batch.draw)
            done += len(batch.x)
            request.progress(done, request.samples)
    finally:
        for hook in hooks:
            hook.remove()
    return {stack: (total / done).tolist() for stack, total in turns.items()}
