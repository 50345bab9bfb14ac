"""What a warm start is given. Free of torch, so that names can be listed lightly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinylab.training.layer_maps import spans

if TYPE_CHECKING:
    from tinylab.config import FinetuneConfig
    from tinylab.data.base import Dataset
    from tinylab.diffusion import Objective
    from tinylab.models.base import Denoiser
    from tinylab.pruning.plan import DepthPlan
    from tinylab.training.recorder import Recorder

__all__ = ["WarmStartRule", "WarmUp", "keep_weights"]


@dataclass(frozen=True)
class WarmUp:
    """A model that was just cut, the one it was cut from, and what it takes to run both.

    Attributes:
        student: `apply_plan(teacher, plan)`, on the device of the teacher; its weights change.
        teacher: the full model, which is not changed.
        data: images to train on.
        config: seed, batch size, learning rate, schedule and number of warm steps.
        checkpoints: a folder of its own for a warm start that trains; None for no checkpoints.
        recorder: gets the steps of a warm start that trains, counted from 1; see `run_loop`.
    """

    student: Denoiser
    teacher: Denoiser
    plan: DepthPlan
    objective: Objective
    data: Dataset
    config: FinetuneConfig
    checkpoints: Path | None
    recorder: Recorder

    def merged(self, *, covering: bool = False) -> Iterator[tuple[str, int, Any, range]]:
        """The spans with removed blocks: stack, the teacher's block that stays, the student's, and the span; see
        `spans`."""
        depth = self.plan.depth
        for stack, blocks in self.student.block_stacks().items():
            kept = self.plan.kept[stack]
            for index, block, span in zip(kept, blocks, spans(kept, depth[stack], covering=covering), strict=True):
                if len(span) > 1:
                    yield stack, index, block, span


WarmStartRule = Callable[[WarmUp], None]  # changes the student's blocks in place, and nothing else


def keep_weights(given: WarmUp) -> None:
    """The student keeps the weights of its blocks in the teacher."""
