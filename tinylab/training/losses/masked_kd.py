"""Masked representation distillation (TinyFusion: Fang et al. 2024, arXiv:2412.01199, section 3.4).

A few hidden values are huge; to pull the student's at the teacher's spoils both. They are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.training.losses.base import per_sample
from tinylab.training.losses.distillation import FeatureDistillation

__all__ = ["MaskedDistillation", "usual"]


@dataclass(frozen=True)
class MaskedDistillation(FeatureDistillation):
    """Feature distillation without the extremes.

    Args:
        sigma: values further than this many standard deviations from the mean of their sample are set to zero.
        mask: `separate`: on each side its own extremes, as published, so that a value which is extreme on one side
            alone is pulled towards zero on the other; `joint`: on both sides what is extreme on either.
    """

    sigma: float = 2.0
    mask: Literal["separate", "joint"] = "separate"

    @classmethod
    def of(cls, config: FinetuneConfig) -> MaskedDistillation:
        """With the config's weights and mask."""
        return cls(config.alpha, config.beta, config.beta_decay, config.mask_sigma, config.mask)

    def gap(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared error of two hidden states (N, T, D) per sample, (N,); what is masked counts as equal."""
        learned, taught = usual(student, self.sigma), usual(teacher, self.sigma)
        if self.mask == "joint":
            learned = taught = learned & taught
        return per_sample((student * learned - teacher * taught).square())


def usual(h: Tensor, sigma: float) -> Tensor:
    """Where hidden states (N, T, D) lie within `sigma` deviations of their sample's mean, (N, T, D) bool."""
    flat = h.detach().flatten(1)
    mean, deviation = flat.mean(dim=1), flat.std(dim=1)
    shape = (-1, *[1] * (h.dim() - 1))
    return (h.detach() - mean.view(shape)).abs() < sigma * deviation.view(shape)
