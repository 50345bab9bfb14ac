"""What tests of warm starts share: tiny models that were cut, and looking at what changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from memory_recorder import MemoryRecorder
from torch import Tensor, nn

from tinylab.config import FinetuneConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.models.base import Denoiser
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.warm_starts import WarmUp

__all__ = ["CONFIG", "FAMILIES", "KEPT", "BuildTiny", "changed", "copied", "hooks", "keep_first", "warm_up"]

BuildTiny = Callable[..., Denoiser]

CONFIG = FinetuneConfig.create(
    warm_steps=6, batch_size=8, lr=3e-3, warmup=2, log_every=1, checkpoint_every=2, label_dropout=0.5, seed=3
)
FAMILIES = pytest.mark.parametrize("family", ["dit", "sit", "mar"])
KEPT: dict[str, list[int | str]] = {"dit": [1, 3], "sit": [0, 3], "mar": ["e1", "e2", "d0", "d2"]}  # of 4, or 4 + 4


def warm_up(teacher: Denoiser, kept: list[int | str], **changes: Any) -> WarmUp:
    """A fresh cut of `teacher`, with the digits to look at."""
    plan = DepthPlan.of(kept, teacher.stack_depths(), "indices")
    given = {"config": CONFIG, "checkpoints": None, "recorder": MemoryRecorder(), **changes}
    objective = objective_for(teacher)
    return WarmUp(apply_plan(teacher, plan), teacher, plan, objective, load_digits()[0], **given)


def keep_first(family: str) -> list[int | str]:
    """The first of two blocks; of a MAR all of the encoder and the first block of the decoder."""
    return ["e0", "e1", "d0"] if family == "mar" else [0]


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(model: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Names of the tensors that are not what they were, bit for bit."""
    return {name for name, value in model.state_dict().items() if not value.equal(before[name])}


def hooks(model: nn.Module) -> int:
    """How many forward hooks there are on all of its parts."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
