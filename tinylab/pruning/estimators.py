"""How a gradient passes through a drawn choice: straight-through estimators, and one that needs the losses.

All of them draw the same options from the same noise (Gumbel-max: the argmax of logits + Gumbel noise follows the
softmax of the logits); they differ in the gradient alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Protocol

import torch
from torch import Tensor

__all__ = ["ESTIMATORS", "Estimator", "EstimatorName", "gumbel", "gumbel_noise", "reinforce", "reinmax"]


EstimatorName = Literal["gumbel", "reinmax", "reinforce"]


class Estimator(Protocol):
    """Draws one option a sample."""

    def __call__(self, logits: Tensor, noise: Tensor, tau: float) -> Tensor:
        """One-hot rows (N, C), with a gradient for the logits (N or 1, C); Gumbel `noise` is (N, C)."""
        ...


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise, float32."""
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).clamp_(1e-12, 1 - 1e-12)
    return -torch.log(-torch.log(uniform)).float()


def gumbel(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    """Straight-through Gumbel-softmax (Jang et al. 2017, arXiv:1611.01144), as TinyFusion uses it.

    The gradient is that of softmax((logits + noise) / tau).
    """
    soft = ((logits + noise) / tau).softmax(dim=1)
    return _one_hot(soft) - soft.detach() + soft


def reinmax(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    """ReinMax (Liu et al. 2023, arXiv:2304.08612): at `tau` 1 exact to second order, by Heun's rule.

    Its authors' code refuses a `tau` below 1: towards 0 the bias grows to the size of the gradient itself.

    With p the softmax, D the drawn option and q = (D + softmax(logits / tau)) / 2, the gradient is that of
    2 q' - p / 2, where q' equals q and depends on the logits as a softmax does.
    """
    drawn = _one_hot(logits + noise)
    p = logits.softmax(dim=1).expand_as(drawn)
    middle = (drawn + (logits.detach() / tau).softmax(dim=1)) / 2
    resolve_paths = (middle.clamp_min(1e-20).log() - logits.detach() + logits).softmax(dim=1)
    smooth = 2 * resolve_paths - p / 2
    return drawn - smooth.detach() + smooth


def reinforce(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    """No gradient through the option: the search adds the score function, with leave-one-out baselines.

    With K masks for the same noised image, mask i is judged by its loss minus the mean loss of the other K - 1
    (Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free").
    """
    return _one_hot((logits + noise).detach())


def _one_hot(scores: Tensor) -> Tensor:
    return torch.zeros_like(scores).scatter_(1, scores.detach().argmax(dim=1, keepdim=True), 1.0)


ESTIMATORS: Mapping[EstimatorName, Estimator] = MappingProxyType(
    {"gumbel": gumbel, "reinmax": reinmax, "reinforce": reinforce}
)
