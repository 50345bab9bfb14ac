"""Normalised feature distillation (LAPTOP-Diff: Zhang et al. 2024, arXiv:2404.11098, section 3.3)."""

from __future__ import annotations

from torch import Tensor

from tinylab.training.losses.base import per_sample
from tinylab.training.losses.feature import FeatureDistillation

__all__ = ["NormalisedDistillation"]

_LEAST = 1e-12  # of a teacher's mean square, so that nothing is divided by zero


class NormalisedDistillation(FeatureDistillation):
    """Feature distillation in which every layer counts alike.

    Layers with large hidden states would outweigh the others by orders of magnitude. Each one's error is divided by
    the mean square of the teacher's: what is left is a share, 1 for a student that says nothing.
    """

    def gap(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Squared error relative to the teacher's hidden states (N, T, D), per sample (N,)."""
        return super().gap(student, teacher) / per_sample(teacher.square()).clamp(min=_LEAST)
