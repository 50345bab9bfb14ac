"""The tracker of one run, begun when there is something to show."""

from __future__ import annotations

from pathlib import Path

from tinylab.config import JobConfig
from tinylab.training.recorder import StepRecord
from tinylab.training.trackers import TRACKERS, Tracker, check_tracker

__all__ = ["Tracking", "check_tracking"]


def check_tracking(config: JobConfig) -> None:
    """BadRequest if the config names a tracker whose library is not there."""
    check_tracker(_tracker_of(config))


class Tracking:
    """Passes records on to the tracker that the config names, if it names one.

    Raises:
        BadRequest: its library is not there.
    """

    def __init__(self, config: JobConfig, folder: Path) -> None:
        check_tracking(config)
        self._name, self._config, self._folder = _tracker_of(config), config, folder
        self._tracker: Tracker | None = None

    def record(self, step: int, record: StepRecord) -> None:
        """Show the single numbers of a step, and what the clock said."""
        if self._name == "none":
            return
        if self._tracker is None:
            self._tracker = TRACKERS.get(self._name).begin(self._folder, self._config.model_dump(mode="json"), step)
        self._tracker.log(step, {**record.scalars, **{f"time/{name}": value for name, value in record.times.items()}})

    def close(self) -> None:
        """Have the tracker write what is left."""
        if self._tracker is not None:
            self._tracker.close()


def _tracker_of(config: JobConfig) -> str:
    return getattr(config, "tracker", "none")
