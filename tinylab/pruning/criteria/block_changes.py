"""How much every block changes the hidden state, in one pass over noised samples."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinylab.models.block_form import PLAIN, block_forms
from tinylab.pruning.block_gate import DenseGate
from tinylab.pruning.criteria.base import Choice, Request, keep_highest
from tinylab.pruning.criteria.calibration import calibration_batches

__all__ = [
    "Measure",
    "block_changes",
    "choose_flux_lite",
    "choose_influence",
    "choose_influence_clean",
    "choose_l2",
    "choose_norm_ratio",
    "choose_relative_l2",
    "l2",
    "norm_ratio",
    "relative_l2",
    "squared_change",
    "turn",
]

Measure = Callable[[Tensor, Tensor], Tensor]  # hidden states (N, …, D) before and after -> (N,)


@torch.no_grad()
def block_changes(request: Request, measure: Measure, *, clean: bool = False) -> dict[str, list[float]]:
    """The mean of `measure` per block over samples and times; of a block with several hidden states, over these too.

    Args:
        clean: give the model clean samples as `Objective.clean_forward` does, not noised ones.
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


def squared_change(before: Tensor, after: Tensor) -> Tensor:
    """Mean of (x_out - x_in)² over tokens and channels: (N,)."""
    return (after - before).square().flatten(1).mean(dim=1)


def turn(before: Tensor, after: Tensor) -> Tensor:
    """1 - cos(x_in, x_out) of hidden states (N, …, D), mean over tokens: (N,)."""
    return 1 - F.cosine_similarity(before, after, dim=-1).flatten(1).mean(dim=1)


def l2(before: Tensor, after: Tensor) -> Tensor:
    """‖x_out - x_in‖ of every token (N, …, D), mean over tokens: (N,)."""
    return (after - before).norm(dim=-1).flatten(1).mean(dim=1)


def relative_l2(before: Tensor, after: Tensor) -> Tensor:
    """‖x_out - x_in‖ / ‖x_in‖ of every token, mean over tokens: (N,)."""
    return ((after - before).norm(dim=-1) / before.norm(dim=-1).clamp(min=1e-12)).flatten(1).mean(dim=1)


def norm_ratio(before: Tensor, after: Tensor) -> Tensor:
    """|ln(‖x_out‖ / ‖x_in‖)| of every token, mean over tokens: (N,)."""
    ratio = after.norm(dim=-1).clamp(min=1e-12) / before.norm(dim=-1).clamp(min=1e-12)
    return ratio.log().abs().flatten(1).mean(dim=1)


def _keep_largest(measure: Measure, *, clean: bool = False) -> Callable[[Request], Choice]:
    """The criterion that keeps the blocks with the largest mean `measure`."""
    return lambda request: keep_highest(request, block_changes(request, measure, clean=clean))


choose_flux_lite = _keep_largest(squared_change)
choose_influence = _keep_largest(turn)
# As the published scoring of DiTs was run: clean latents, and raw steps of a respaced chain as times. The model was
# never trained on such pairs, so this is offered for comparison only; see `Objective.clean_forward`.
choose_influence_clean = _keep_largest(turn, clean=True)
choose_l2 = _keep_largest(l2)
choose_relative_l2 = _keep_largest(relative_l2)
choose_norm_ratio = _keep_largest(norm_ratio)
