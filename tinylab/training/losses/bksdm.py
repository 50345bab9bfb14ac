"""BK-SDM's loss (Kim et al. 2023, arXiv:2305.15798): task, output and features, added up with weight one."""

from __future__ import annotations

from typing import ClassVar

import torch

from tinylab.config import FinetuneConfig
from tinylab.training.losses.base import Seen, Terms, per_sample

__all__ = ["SummedDistillation"]


class SummedDistillation:
    """truth + kd + the sum over the mapped layers of their mean squared errors."""

    needs_teacher: ClassVar[bool] = True
    needs_states: ClassVar[bool] = True

    @classmethod
    def of(cls, config: FinetuneConfig) -> SummedDistillation:
        """All weights are one, from the first step to the last."""
        del config
        return cls()

    def __call__(self, seen: Seen, share: float) -> Terms:
        """`kd`, `features`, `mse` and `vb`."""
        assert seen.gap is not None
        errors = [per_sample((a - b).square()) for a, b in zip(seen.student, seen.teacher, strict=True)]
        features = torch.stack(errors).sum(dim=0)
        parts = {"kd": seen.gap.loss, "features": features, "mse": seen.truth.mse, "vb": seen.truth.vb}
        return Terms(seen.truth.loss + seen.gap.loss + features, parts)
