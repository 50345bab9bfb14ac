"""Programs that show curves, by name. Each is a library of its own, imported when a run uses it."""

import importlib
import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from tinylab.config import JobConfig
from tinylab.errors import BadRequest
from tinylab.registry import Registry
from tinylab.training.recorder import StepRecord

__all__ = ["TRACKERS", "Tracker", "Tracking", "check_tracker", "check_tracking"]


class Tracker(ABC):
    """Shows the numbers of one run; trackio and wandb have one run of a project at a time in a process.

    Attributes:
        library: the module without which it does not work.
    """

    library: ClassVar[str]

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    @classmethod
    @abstractmethod
    def begin(cls, folder: Path, config: Mapping[str, Any], step: int) -> Self:
        """Take up the run in `folder`, where the files go, with its next record at `step`."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Show one logged step: one point of every curve."""
        self._writer.log(dict(values), step=step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.finish()


class TensorBoard(Tracker):
    """Event files in `tensorboard/`."""

    library: ClassVar[str] = "tensorboard"

    @classmethod
    def begin(cls, folder: Path, config: Mapping[str, Any], step: int) -> Self:
        """Records from `step` on that an earlier process left are no longer shown."""
        from torch.utils.tensorboard import SummaryWriter

        return cls(SummaryWriter(str(folder / "tensorboard"), purge_step=step, flush_secs=10))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One point of every curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class Trackio(Tracker):
    """A local database in `trackio/`, unless TRACKIO_DIR names another place."""

    library: ClassVar[str] = "trackio"

    @classmethod
    def begin(cls, folder: Path, config: Mapping[str, Any], step: int) -> Self:
        """The library reads its folder from the environment when it is imported."""
        os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
        library = importlib.import_module(cls.library)
        library.init(project="tinylab", name=folder.name, config=dict(config), resume="allow")
        return cls(library)


class WandB(Tracker):
    """A service on the network; its local files go to `wandb/`."""

    library: ClassVar[str] = "wandb"

    @classmethod
    def begin(cls, folder: Path, config: Mapping[str, Any], step: int) -> Self:
        """A resumed run goes on under its name."""
        library = importlib.import_module(cls.library)
        given = {"id": folder.name, "name": folder.name, "dir": str(folder), "config": dict(config)}
        library.init(project="tinylab", resume="allow", **given)
        return cls(library)


TRACKERS: Registry[type[Tracker]] = Registry("tracker")
for _kind, _name in ((TensorBoard, "tensorboard"), (Trackio, "trackio"), (WandB, "wandb")):
    TRACKERS.register(_name, f"{__name__}:{_kind.__name__}", summary=(_kind.__doc__ or "").split(".")[0])


def check_tracker(name: str) -> None:
    """BadRequest if the library of a tracker is not installed; "none" needs none."""
    if name != "none" and importlib.util.find_spec(TRACKERS.get(name).library) is None:
        raise BadRequest(f"--tracker {name}: that library is not here; `pip install tinylab[{name}]` brings it")


def check_tracking(config: JobConfig) -> None:
    """BadRequest if the config names a tracker whose library is not there."""
    check_tracker(_tracker_of(config))


class Tracking:
    """Passes records on to the tracker that the config names, if it names one; see `check_tracking`."""

    def __init__(self, config: JobConfig, folder: Path) -> None:
        self._name, self._config, self._folder = _tracker_of(config), config, folder
        self._tracker: Tracker | None = None

    def record(self, step: int, record: StepRecord) -> None:
        """Show the single numbers of a step, and its times."""
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
