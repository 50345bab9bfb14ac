"""How a gradient passes through a random choice: straight-through estimators, and one that needs the losses.

All of them draw the same options from the same noise; they differ in the gradient alone. Each has two functions, one
for the options of a group, and one, called `…_sets`, for the sets of blocks that fit one budget; their row is in
`tinylab.config.choices`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tinylab.config.choices import ESTIMATORS
from tinylab.errors import BadRequest
from tinylab.registry import load

__all__ = [
    "Estimator",
    "SetsRule",
    "gumbel",
    "gumbel_noise",
    "gumbel_sets",
    "reinforce",
    "reinforce_sets",
    "reinmax",
    "reinmax_sets",
    "sets_rule",
]


# (logits (N or 1, C), Gumbel noise (N, C), tau) -> one option a sample: one-hot rows (N, C), with a gradient for the
# logits.
Estimator = Callable[[Tensor, Tensor, float], Tensor]
# (sets (N, blocks) of 0 and 1, logits theta (blocks,), tau, marginals) -> something (N, blocks) whose gradient for
# theta takes the place of that of the drawn sets; `marginals` gives the probability of every block to be kept under
# some theta.
SetsRule = Callable[[Tensor, Tensor, float, Callable[[Tensor], Tensor]], Tensor]


def sets_rule(name: str) -> SetsRule:
    """The rule of an estimator for one budget over all blocks; BadRequest if it has none."""
    path = ESTIMATORS.entry(name).sets
    if not path:
        having = ", ".join(row.name for row in ESTIMATORS.rows() if row.sets)
        raise BadRequest(f"estimator {name!r} has no rule for one budget over all blocks; use {having}, or N:M groups")
    rule: Any = load(path)
    return rule  # type: ignore[no-any-return]


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, float32."""
    # g = -log(-log u) with u uniform in (0, 1). In float64, kept off both ends, where g would be infinite: float32 has
    # no numbers between 1 - 6e-8 and 1, and would cut the upper tail at 16.6.
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).clamp_(1e-12, 1 - 1e-12)
    return -torch.log(-torch.log(uniform)).float()


def gumbel(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    """Straight-through Gumbel-softmax (Jang et al. 2016, arXiv:1611.01144, section 2.2), as TinyFusion uses it."""
    # y = softmax((logits + g) / tau). Its largest entry is that of logits + g, and P(argmax = i) = softmax(logits)_i
    # (the Gumbel-max trick), whatever tau is: tau changes the gradient, not what is drawn.
    soft = ((logits + noise) / tau).softmax(dim=1)
    # D - detach(y) + y has the value of the one-hot D, since a block is either there or not, and the gradient of y,
    # dy_i / dlogits_j = y_i (1[i = j] - y_j) / tau. Far from D (large tau) it is smooth but biased; as tau falls, y
    # comes near D, the bias goes and the variance grows: so a search anneals tau from large to small.
    return _one_hot(soft) - soft.detach() + soft


def gumbel_sets(sets: Tensor, theta: Tensor, tau: float, marginals: Callable[[Tensor], Tensor]) -> Tensor:
    """The gradient of the exact marginals (SIMPLE: Ahmed et al. 2022, arXiv:2210.01941), softened by `tau`."""
    # dm_i / dtheta_j = Cov(block i kept, block j kept), the same for every sample: exact for losses that are linear in
    # the set, since E[a . S] = a . m.
    return marginals(theta / tau).expand_as(sets)


def reinmax(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    """ReinMax (Liu et al. 2023, arXiv:2304.08612, algorithm 2): at `tau` 1 exact to second order, by Heun's rule.

    Its authors' code refuses a `tau` below 1: towards 0 the bias grows to the size of the gradient itself.
    """
    # With D the drawn option, p = softmax(logits) and q = (D + softmax(logits / tau)) / 2, the gradient is that of
    # 2 q' - p / 2: q' has the value of q, and the Jacobian of a softmax there, diag(q) - q q^T.
    drawn = _one_hot(logits + noise)
    p = logits.softmax(dim=1).expand_as(drawn)
    middle = (drawn + (logits.detach() / tau).softmax(dim=1)) / 2
    moved = (middle.clamp_min(1e-20).log() - logits.detach() + logits).softmax(dim=1)
    smooth = 2 * moved - p / 2
    return drawn - smooth.detach() + smooth


def reinmax_sets(sets: Tensor, theta: Tensor, tau: float, marginals: Callable[[Tensor], Tensor]) -> Tensor:
    """ReinMax at `tau` 1 over all sets that fit."""
    # For one option of a categorical the Jacobian of `reinmax`, 2 (diag q - q q^T) - (diag p - p p^T) / 2, is
    # Cov / 2 + (D - p)(D - p)^T / 2 with Cov = diag p - p p^T. A set is an option of one large categorical whose logits
    # are sums of theta, so in terms of its blocks: Cov / 2 + (S - m)(S - m)^T / 2, with no need to list the sets.
    m = marginals(theta)
    away = (sets - m).detach()
    return (m + away * (away @ theta).unsqueeze(1)) / 2


def reinforce(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    """No gradient through the option: the search adds the score function, see `SearchTask.loss`."""
    return _one_hot((logits + noise).detach())


def reinforce_sets(sets: Tensor, theta: Tensor, tau: float, marginals: Callable[[Tensor], Tensor]) -> Tensor:
    """No gradient through the sets, either."""
    return torch.zeros_like(sets)


def _one_hot(scores: Tensor) -> Tensor:
    return torch.zeros_like(scores).scatter_(1, scores.detach().argmax(dim=1, keepdim=True), 1.0)
