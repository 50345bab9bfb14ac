"""Output ("logit") distillation: the teacher's answer in place of most of the noise.

Hinton et al. 2015, arXiv:1503.02531.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinylab.config import FinetuneConfig
from tinylab.training.losses.base import Seen, Terms

__all__ = ["LogitDistillation"]


@dataclass(frozen=True)
class LogitDistillation:
    """alpha * kd + (1 - alpha) * truth.

    kd is the squared error against the teacher's noise or velocity plus, where a variance is learned, the divergence
    from the teacher's reverse step in bits per dimension.
    """

    alpha: float = 0.9

    needs_teacher: ClassVar[bool] = True
    needs_states: ClassVar[bool] = False

    @classmethod
    def of(cls, config: FinetuneConfig) -> LogitDistillation:
        """With the config's alpha."""
        return cls(config.alpha)

    def __call__(self, seen: Seen, share: float) -> Terms:
        """`kd` and the truth, `mse` and `vb`."""
        assert seen.gap is not None
        truth = {"mse": seen.truth.mse, "vb": seen.truth.vb}
        return Terms(self.alpha * seen.gap.loss + (1 - self.alpha) * seen.truth.loss, {"kd": seen.gap.loss, **truth})
