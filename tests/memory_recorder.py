"""A recorder for tests of training loops."""

from __future__ import annotations

from tinylab.training.recorder import StepRecord

__all__ = ["MemoryRecorder"]


class MemoryRecorder:
    """A recorder that remembers everything and asks to stop (or breaks down) after a given step.

    Args:
        stop_at: ask to stop once this step is done.
        break_at: raise a RuntimeError once this step is done, as a crash would.
    """

    def __init__(self, *, stop_at: int | None = None, break_at: int | None = None) -> None:
        self.stop_at, self.break_at = stop_at, break_at
        self.records: dict[int, StepRecord] = {}
        self.rewound: list[int] = []
        self.steps: list[int] = []

    def rewind(self, step: int) -> None:
        """Remember where the loop began."""
        self.rewound.append(step)
        self.records = {done: record for done, record in self.records.items() if done <= step}

    def record(self, step: int, record: StepRecord) -> None:
        """Keep a record."""
        self.records[step] = record

    def progress(self, step: int, steps: int) -> None:
        """Count the step; break down if it is the one."""
        self.steps.append(step)
        if step == self.break_at:
            raise RuntimeError("power cut")

    def should_stop(self) -> bool:
        """True once `stop_at` is reached."""
        return self.stop_at is not None and self.steps[-1] >= self.stop_at
