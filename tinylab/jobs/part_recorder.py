"""Reports of one piece of work in a cell, as part of the whole job."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinylab.files import atomic
from tinylab.files.json_file import read_object
from tinylab.jobs.context import JobContext
from tinylab.training.recorder import StepRecord

__all__ = ["PartRecorder", "Stopwatch"]


@dataclass(frozen=True)
class PartRecorder:
    """Records a training under `NAME/…`, and its place in the whole as progress.

    Args:
        before, total: steps of the whole job before this part, and of all parts.
        doing: the message of the progress.
        on_record: called after every record.
    """

    context: JobContext
    name: str
    doing: str
    before: int
    total: int
    on_record: Callable[[], None] = lambda: None

    def rewind(self, step: int) -> None:
        """Equal steps of a resumed part replace the old ones; nothing has to go."""

    def record(self, step: int, record: StepRecord) -> None:
        """Store the single numbers under the part's name."""
        self.context.record(step, StepRecord({f"{self.name}/{k}": v for k, v in record.scalars.items()}))
        self.on_record()

    def progress(self, step: int, steps: int) -> None:
        """Steps of all parts together."""
        self.context.progress(self.before + step, self.total, self.doing)

    def should_stop(self) -> bool:
        """As the whole job."""
        return self.context.should_stop()


class Stopwatch:
    """Seconds spent on a piece of work, those before it was interrupted included as far as they were saved."""

    def __init__(self, path: Path) -> None:
        stored = (read_object(path) or {}).get("seconds", 0.0)
        self._path, self._earlier, self._began = path, float(stored), time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._earlier + time.perf_counter() - self._began

    def save(self) -> None:
        """Keep them for the next process."""
        atomic.write_text(self._path, f'{{"seconds": {self.seconds:.3f}}}\n')
