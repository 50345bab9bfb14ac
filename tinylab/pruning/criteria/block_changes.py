"""How much every block changes the hidden state, in one pass over noised samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tinylab.models.block_form import PLAIN, block_forms
from tinylab.pruning.block_gate import DenseGate
from tinylab.pruning.criteria.base import Request
from tinylab.pruning.criteria.calibration import calibration_batches

__all__ = ["Measure", "block_changes"]

Measure = Callable[[Tensor, Tensor], Tensor]  # hidden states (N, …, D) before and after -> (N,)


@torch.no_grad()
def block_changes(request: Request, measure: Measure, *, clean: bool = False) -> dict[str, list[float]]:
    """The mean of `measure` per block over samples and times; of a block with several hidden states, over these too.

    Args:
        clean: show the model clean samples as `Objective.clean_forward` does, not noised ones.
    """
    model, forms = request.model.eval(), block_forms(request.model)
    totals = {stack: torch.zeros(count, dtype=torch.float64) for stack, count in request.depth.items()}
    done, batches = 0, calibration_batches(request)

    def watch(stack: str, index: int, block: nn.Module):
        gate = DenseGate(block, torch.empty(0), forms.get(stack, PLAIN))  # it knows which arguments are hidden states

        def hook(block: nn.Module, args: tuple, kwargs: dict, output) -> None:
            names = gate.states
            given = dict(zip(gate.parameters, args, strict=False)) | kwargs
            before = [given[name] for name in names]
            values = [measure(x.float(), f.float()) for x, f in zip(before, gate.entries(output, before), strict=True)]
            totals[stack][index] += torch.stack(values).mean(dim=0).sum().double().cpu()

        return hook

    hooks = [
        block.register_forward_hook(watch(stack, i, block), with_kwargs=True)
        for stack, blocks in model.block_stacks().items()
        for i, block in enumerate(blocks)
    ]
    forward = request.objective.clean_forward if clean else request.objective.forward
    try:
        for batch in batches:
            forward(model, batch.x, batch.y, batch.draw)
            done += len(batch.x)
            request.progress(done, request.samples)
    finally:
        for hook in hooks:
            hook.remove()
    return {stack: (total / done).tolist() for stack, total in totals.items()}
