"""Deciding by perturbation: fix one group at a time by what it costs the loss (Wang et al. 2021, arXiv:2108.04392,
"Rethinking Architecture Selection in Differentiable NAS").

The weights that moved along stay as they are between two decisions; the paper trains them on.
"""

import copy
import random
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from tinylab.data.order import step_generator
from tinylab.metrics.denoising import NoisedBatch
from tinylab.pruning.budget_mask import BudgetMask
from tinylab.pruning.depth_mask import DepthMask, MaskDistribution
from tinylab.pruning.gates import gated
from tinylab.training.search import SearchTask

__all__ = ["decide_by_perturbation"]

_OPTIONS = 32  # of a group's options only the likeliest are tried
_CERTAIN = 10.0  # a logit that leaves no doubt, before scaling

Progress = Callable[[int, int], None]
C = TypeVar("C")


def decide_by_perturbation(
    task: SearchTask, batches: list[NoisedBatch], progress: Progress = lambda done, total: None
) -> dict[str, tuple[int, ...]]:
    """The kept blocks per stack.

    Each candidate is judged by the mean loss over `batches`, always with the same noise, while what is not yet fixed
    is drawn from what was learned. Groups are taken in random order, and the option with the smallest loss is fixed;
    under one budget for all blocks, the block is left out without which the loss is smallest, until the rest is
    settled.
    """
    mask = copy.deepcopy(task.ema.module).eval()
    judge = _Judge(task, batches)
    if isinstance(mask, DepthMask):
        _fix_groups(mask, judge, task.config.seed, progress)
    else:
        assert isinstance(mask, BudgetMask)
        _leave_out(mask, judge, progress)
    return mask.decision()


class _Judge:
    """Mean loss of masks drawn from a distribution, with the weights that moved along."""

    def __init__(self, task: SearchTask, batches: list[NoisedBatch]) -> None:
        self.task, self.batches = task, batches

    @torch.no_grad()
    def loss(self, mask: MaskDistribution) -> float:
        model, losses = self.task.model.eval(), []
        for number, batch in enumerate(self.batches):
            drawn = mask.draw(len(batch.x), 1.0, step_generator(self.task.config.seed, number, stream=9))
            with gated(model, drawn.masks):
                losses.append(self.task.losses(batch.x, batch.y, batch.draw))
        model.train()
        return torch.cat(losses).mean().item()

    def best(self, mask: MaskDistribution, logits: Tensor, candidates: Iterable[tuple[C, Tensor]]) -> C:
        """The candidate whose logits, put in place of `logits` for a moment, give the smallest loss."""
        before, found = logits.detach().clone(), []
        for order, (candidate, changed) in enumerate(candidates):
            logits.data.copy_(changed)
            found.append((self.loss(mask), order, candidate))
            logits.data.copy_(before)
        return min(found)[2]


def _fix_groups(mask: DepthMask, judge: _Judge, seed: int, progress: Progress) -> None:
    groups = list(mask.named_groups().values())
    random.Random(seed).shuffle(groups)
    for done, group in enumerate(groups):
        likely = group.logits[0].argsort(descending=True)[:_OPTIONS].tolist()
        certain = {option: _CERTAIN * _one_hot(group.logits, option) for option in likely}
        best = judge.best(mask, group.logits, certain.items())
        group.logits.data.copy_(certain[best])
        progress(done + 1, len(groups))


def _leave_out(mask: BudgetMask, judge: _Judge, progress: Progress) -> None:
    total = len(mask.blocks)
    while True:
        chances = torch.cat(list(mask.keep_probabilities().values()))
        open_ = [i for i, p in enumerate(chances.tolist()) if 1e-6 < p < 1 - 1e-6]
        progress(total - len(open_), total)
        if not open_:
            return
        without = {i: mask.logits.detach() - _CERTAIN * _one_hot(mask.logits, i) for i in open_}
        best = judge.best(mask, mask.logits, without.items())
        mask.logits.data.copy_(without[best])


def _one_hot(logits: Tensor, index: int) -> Tensor:
    return torch.zeros_like(logits).index_fill_(1, torch.tensor(index, device=logits.device), 1.0)
