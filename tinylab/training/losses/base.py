"""What every loss of recovery is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.diffusion import Losses

__all__ = ["RecoveryLoss", "Outputs", "Terms", "per_sample"]


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


@dataclass(frozen=True)
class Terms:
    """A loss (N,), and what it is made of: (N,) each, by the name of its curve, before weights."""

    loss: Tensor
    parts: Mapping[str, Tensor]


class RecoveryLoss(Protocol):
    """One way to teach a student.

    Attributes:
        needs_teacher: whether the teacher's output is looked at.
        needs_states: whether hidden states are, too.
    """

    needs_teacher: ClassVar[bool]
    needs_states: ClassVar[bool]

    @classmethod
    def of(cls, config: FinetuneConfig) -> Self:
        """The loss with the weights that a config names."""
        ...

    def __call__(self, outputs: Outputs, share: float) -> Terms:
        """The loss of every image; `share` of the training is over, 0 to 1."""
        ...


def per_sample(values: Tensor) -> Tensor:
    """Mean over everything but the samples, (N, …) -> (N,)."""
    return values.flatten(1).mean(dim=1)
