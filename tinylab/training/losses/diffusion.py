"""Training on with nothing but images."""

from __future__ import annotations

from typing import ClassVar

from tinylab.config import FinetuneConfig
from tinylab.training.losses.base import Seen, Terms

__all__ = ["DiffusionLoss"]


class DiffusionLoss:
    """The model's own loss."""

    needs_teacher: ClassVar[bool] = False
    needs_states: ClassVar[bool] = False

    @classmethod
    def of(cls, config: FinetuneConfig) -> DiffusionLoss:
        """It has no weights."""
        del config
        return cls()

    def __call__(self, seen: Seen, share: float) -> Terms:
        """`mse`, and `vb` where a variance is learned."""
        return Terms(seen.truth.loss, {"mse": seen.truth.mse, "vb": seen.truth.vb})
