"""Block influence (ShortGPT: Men et al. 2024, arXiv:2403.03853): how far a block turns its input."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tinylab.pruning.criteria.base import Choice, Request, keep_highest
from tinylab.pruning.criteria.block_changes import block_changes

__all__ = ["choose", "choose_clean", "turn"]


def choose(request: Request) -> Choice:
    """Keep the blocks with the highest influence on noised samples over all times."""
    return keep_highest(request, block_changes(request, turn))


def choose_clean(request: Request) -> Choice:
    """The same as the published scoring of DiTs was run: clean latents, and raw steps of a respaced chain as times.

    The model was never trained on such pairs, so this is offered for comparison only; see `Objective.clean_forward`.
    """
    return keep_highest(request, block_changes(request, turn, clean=True))


def turn(before: Tensor, after: Tensor) -> Tensor:
    """1 - cos(x_in, x_out) of hidden states (N, …, D), mean over tokens: (N,)."""
    return 1 - F.cosine_similarity(before, after, dim=-1).flatten(1).mean(dim=1)
