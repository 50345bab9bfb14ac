"""Feature distillation: beside the output, the hidden states of mapped layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.training.losses.base import Seen, Terms, per_sample
from tinylab.training.losses.logit import LogitDistillation

__all__ = ["Decay", "FeatureDistillation", "decayed"]

Decay = Literal["linear", "cosine", "none"]


@dataclass(frozen=True)
class FeatureDistillation:
    """alpha * kd + (1 - alpha) * truth + beta * features, `features` a mean over the mapped layers.

    Args:
        alpha: see `LogitDistillation`.
        beta: weight of the hidden states at the first step.
        decay: how it falls: hidden states guide the start, and stand in the way of the end.
    """

    alpha: float = 0.9
    beta: float = 1e-2
    decay: Decay = "linear"

    needs_teacher: ClassVar[bool] = True
    needs_states: ClassVar[bool] = True

    @classmethod
    def of(cls, config: FinetuneConfig) -> FeatureDistillation:
        """With the config's weights."""
        return cls(config.alpha, config.beta, config.beta_decay)

    def __call__(self, seen: Seen, share: float) -> Terms:
        """`kd`, `features`, `mse` and `vb`."""
        output = LogitDistillation(self.alpha)(seen, share)
        gaps = [self.gap(learned, taught) for learned, taught in zip(seen.student, seen.teacher, strict=True)]
        features = torch.stack(gaps).mean(dim=0)
        loss = output.loss + self.beta * decayed(share, self.decay) * features
        return Terms(loss, {**output.parts, "features": features})

    def gap(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared error of two hidden states (N, T, D) per sample, (N,)."""
        return per_sample((student - teacher).square())


def decayed(share: float, decay: Decay) -> float:
    """What is left of a weight when `share` of the training is over: 1 at its start; 0 at its end, but for `none`."""
    return {"linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share)), "none": 1.0}[decay]
