"""Losses of recovery: what a shallow student learns from images and from the model that it was cut from.

Each is a function `(outputs, share, config) -> Terms` and a row in `tinylab.config.choices`; `share` of the training is
over, 0 to 1. Written below: L_task, the student's loss on the images; L_kd, the same with the teacher's output as
the target; h and h', hidden states of student and teacher at a pair of mapped layers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.diffusion import Losses

__all__ = [
    "Outputs",
    "RecoveryLoss",
    "Terms",
    "bksdm",
    "decayed",
    "diffusion",
    "feature",
    "logit",
    "masked_error",
    "masked_kd",
    "normalised",
    "normalised_error",
    "squared_error",
    "usual",
]

_LEAST = 1e-12  # of a teacher's mean square, so that nothing is divided by zero


@dataclass(frozen=True)
class Outputs:
    """What student and teacher return for one batch of N images.

    Attributes:
        task_loss: the student's own loss on the images.
        teacher_loss: the same terms against the teacher's output; None where no teacher ran.
        student, teacher: hidden states (N, T, D) at the mapped layers, in one order; empty where none were kept.
    """

    task_loss: Losses
    teacher_loss: Losses | None = None
    student: Sequence[Tensor] = ()
    teacher: Sequence[Tensor] = ()

    @property
    def kd(self) -> Tensor:
        """The loss against the teacher's output, (N,)."""
        assert self.teacher_loss is not None
        return self.teacher_loss.loss

    def errors(self, error: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """The error of every pair of hidden states, (layers, N)."""
        return torch.stack([error(h, taught) for h, taught in zip(self.student, self.teacher, strict=True)])


@dataclass(frozen=True)
class Terms:
    """A loss (N,), and what it is made of: (N,) each, by the name of its curve, before weights."""

    loss: Tensor
    parts: Mapping[str, Tensor]


RecoveryLoss = Callable[[Outputs, float, FinetuneConfig], Terms]


def diffusion(outputs: Outputs, share: float, config: FinetuneConfig) -> Terms:
    """The model's own loss: `mse`, and `vb` where a variance is learned."""
    return Terms(outputs.task_loss.loss, _task_parts(outputs))


def logit(outputs: Outputs, share: float, config: FinetuneConfig) -> Terms:
    """The teacher's output beside the images.

    L_kd is the squared error against the teacher's noise or velocity plus, where a variance is learned, the divergence
    from the teacher's reverse step in bits per dimension.
    """
    # L = alpha L_kd + (1 - alpha) L_task (Hinton et al. 2015, arXiv:1503.02531, section 2, for outputs that are
    # Gaussians). A convex sum keeps the scale of the loss, so that one learning rate serves every alpha.
    loss = config.alpha * outputs.kd + (1 - config.alpha) * outputs.task_loss.loss
    return Terms(loss, {"kd": outputs.kd, **_task_parts(outputs)})


def squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of two hidden states (N, T, D) per sample, (N,)."""
    return _per_sample((student - teacher).square())


def feature(
    outputs: Outputs,
    share: float,
    config: FinetuneConfig,
    error: Callable[[Tensor, Tensor], Tensor] = squared_error,
) -> Terms:
    """As `logit`, and the mean `error` of the hidden states over the mapped layers."""
    output, features = logit(outputs, share, config), outputs.errors(error).mean(dim=0)
    # L = alpha L_kd + (1 - alpha) L_task + beta(share) mean over layers of error(h, h') (TinyFusion: Fang et al. 2024,
    # arXiv:2412.01199). beta falls to zero: hidden states guide the start, but a student with fewer
    # blocks need not pass through the teacher's states to give its outputs, and would be held back at the end.
    loss = output.loss + config.beta * decayed(share, config.beta_decay) * features
    return Terms(loss, {**output.parts, "features": features})


def decayed(share: float, decay: str) -> float:
    """What is left of a weight when `share` of the training is over: 1 at its start; 0 at its end, but for `none`."""
    return {"linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share)), "none": 1.0}[decay]


def normalised(outputs: Outputs, share: float, config: FinetuneConfig) -> Terms:
    """As `feature`, with every layer counting alike (LAPTOP-Diff: Zhang et al. 2024, arXiv:2404.11098)."""
    return feature(outputs, share, config, normalised_error)


def normalised_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared error relative to the teacher's hidden states (N, T, D), per sample (N,)."""
    # mean (h - h')^2 / mean h'^2. Layers with large hidden states would outweigh the others by orders of magnitude;
    # what is left is a share without a unit, 1 for h = 0.
    return squared_error(student, teacher) / _per_sample(teacher.square()).clamp(min=_LEAST)


def masked_kd(outputs: Outputs, share: float, config: FinetuneConfig) -> Terms:
    """As `feature`, without extreme hidden values (TinyFusion).

    A few hidden values are huge; to pull the student's at the teacher's spoils both.
    """
    return feature(
        outputs, share, config, lambda h, taught: masked_error(h, taught, sigma=config.mask_sigma, mask=config.mask)
    )


def masked_error(student: Tensor, teacher: Tensor, *, sigma: float = 2.0, mask: str = "separate") -> Tensor:
    """Mean squared error of two hidden states (N, T, D) per sample, (N,); what is masked counts as equal.

    Args:
        sigma: values further than this many standard deviations from the mean of their sample are set to zero.
        mask: `separate`: on each side its own extremes, as published, so that a value which is extreme on one side
            alone is pulled towards zero on the other; `joint`: on both sides what is extreme on either.
    """
    learned, taught = usual(student, sigma), usual(teacher, sigma)
    if mask == "joint":
        learned = taught = learned & taught
    # mean (m h - m' h')^2 over all values, masked ones included: the weight of a value does not depend on how many
    # others are masked.
    return _per_sample((student * learned - teacher * taught).square())


def usual(h: Tensor, sigma: float) -> Tensor:
    """Where hidden states (N, T, D) lie within `sigma` deviations of their sample's mean, (N, T, D) bool."""
    # |h - mean(h)| < sigma std(h), detached: the mask chooses values, it is not learned itself.
    flat = h.detach().flatten(1)
    mean, deviation = flat.mean(dim=1), flat.std(dim=1)
    shape = (-1, *[1] * (h.dim() - 1))
    return (h.detach() - mean.view(shape)).abs() < sigma * deviation.view(shape)


def bksdm(outputs: Outputs, share: float, config: FinetuneConfig) -> Terms:
    """The plain sum of all (BK-SDM), without weights, from the first step to the last."""
    # L = L_task + L_kd + sum over layers of mean (h - h')^2 (Kim et al. 2023, arXiv:2305.15798, section 3.3).
    features = outputs.errors(squared_error).sum(dim=0)
    parts = {"kd": outputs.kd, "features": features, **_task_parts(outputs)}
    return Terms(outputs.task_loss.loss + outputs.kd + features, parts)


def _task_parts(outputs: Outputs) -> dict[str, Tensor]:
    return {"mse": outputs.task_loss.mse, "vb": outputs.task_loss.vb}


def _per_sample(values: Tensor) -> Tensor:
    """Mean over everything but the samples, (N, …) -> (N,)."""
    return values.flatten(1).mean(dim=1)
