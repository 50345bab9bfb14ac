"""Where a training loop reports to. Free of torch, so that readers of runs stay light."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["Recorder", "SilentRecorder", "StepRecord"]


@dataclass(frozen=True)
class StepRecord:
    """What one logged step leaves behind: single numbers, and lists of numbers.

    Attributes:
        times: by the clock, `seconds` a step and the share of them spent waiting for data. They are no part of
            what a resumed run repeats: trackers show them, metrics leave them out, and comparisons pass over them.
    """

    scalars: Mapping[str, float]
    vectors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict, compare=False)


class Recorder(Protocol):
    """Where a loop reports to; the run folder implements it. What is not implemented keeps nothing and never stops."""

    def rewind(self, step: int) -> None:
        """Forget all records after `step`: the job goes on from there."""
        return None

    def record(self, step: int, record: StepRecord) -> None:
        """Keep the record of one logged step."""
        return None

    def progress(self, step: int, steps: int) -> None:
        """Called after every step."""
        return None

    def should_stop(self) -> bool:
        """True once somebody asked the job to stop."""
        return False


class SilentRecorder(Recorder):
    """For work that is too short to watch."""
