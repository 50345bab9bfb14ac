"""Feature distillation: beside the output, the hidden states of mapped layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.training.losses.base import Outputs, Terms, per_sample

__all__ = [
    "Decay",
    "DiffusionLoss",
    "FeatureDistillation",
    "LogitDistillation",
    "NormalisedDistillation",
    "SummedDistillation",
    "decayed",
]


class SummedDistillation:
    """truth + kd + the sum over the mapped layers of their mean squared errors."""

    needs_teacher: ClassVar[bool] = True
    needs_states: ClassVar[bool] = True

    @classmethod
    def of(cls, config: FinetuneConfig) -> SummedDistillation:
        """All weights are one, from the first step to the last."""
        del config
        return cls()

    def __call__(self, outputs: Outputs, share: float) -> Terms:
        """`kd`, `features`, `mse` and `vb`."""
        assert outputs.teacher_loss is not None
        errors = [per_sample((a - b).square()) for a, b in zip(outputs.student, outputs.teacher, strict=True)]
        features = torch.stack(errors).sum(dim=0)
        parts = {
            "kd": outputs.teacher_loss.loss,
            "features": features,
            "mse": outputs.task_loss.mse,
            "vb": outputs.task_loss.vb,
        }
        return Terms(outputs.task_loss.loss + outputs.teacher_loss.loss + features, parts)


class DiffusionLoss:
    """The model's own loss."""

    needs_teacher: ClassVar[bool] = False
    needs_states: ClassVar[bool] = False

    @classmethod
    def of(cls, config: FinetuneConfig) -> DiffusionLoss:
        """It has no weights."""
        del config
        return cls()

    def __call__(self, outputs: Outputs, share: float) -> Terms:
        """`mse`, and `vb` where a variance is learned."""
        return Terms(outputs.task_loss.loss, {"mse": outputs.task_loss.mse, "vb": outputs.task_loss.vb})


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

    def __call__(self, outputs: Outputs, share: float) -> Terms:
        """`kd` and the truth, `mse` and `vb`."""
        assert outputs.teacher_loss is not None
        task_loss = {"mse": outputs.task_loss.mse, "vb": outputs.task_loss.vb}
        return Terms(
            self.alpha * outputs.teacher_loss.loss + (1 - self.alpha) * outputs.task_loss.loss,
            {"kd": outputs.teacher_loss.loss, **task_loss},
        )


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

    def __call__(self, outputs: Outputs, share: float) -> Terms:
        """`kd`, `features`, `mse` and `vb`."""
        output = LogitDistillation(self.alpha)(outputs, share)
        gaps = [self.gap(learned, taught) for learned, taught in zip(outputs.student, outputs.teacher, strict=True)]
        features = torch.stack(gaps).mean(dim=0)
        loss = output.loss + self.beta * decayed(share, self.decay) * features
        return Terms(loss, {**output.parts, "features": features})

    def gap(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Mean squared error of two hidden states (N, T, D) per sample, (N,)."""
        return per_sample((student - teacher).square())


def decayed(share: float, decay: Decay) -> float:
    """What is left of a weight when `share` of the training is over: 1 at its start; 0 at its end, but for `none`."""
    return {"linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share)), "none": 1.0}[decay]


_LEAST = 1e-12  # of a teacher's mean square, so that nothing is divided by zero


class NormalisedDistillation(FeatureDistillation):
    """Feature distillation in which every layer counts alike.

    Layers with large hidden states would outweigh the others by orders of magnitude. Each one's error is divided by
    the mean square of the teacher's: what is left is a share, 1 for a student that says nothing.
    """

    def gap(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Squared error relative to the teacher's hidden states (N, T, D), per sample (N,)."""
        return super().gap(student, teacher) / per_sample(teacher.square()).clamp(min=_LEAST)
