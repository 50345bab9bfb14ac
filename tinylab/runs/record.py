"""A run is a folder that explains itself: what was asked, how it stands, what it measured, what it made.

config.json   the job config             metrics.db    everything measured on the way
status.json   state, progress, process   checkpoints/  where a stopped run goes on
origin.json   versions, git commit       artifacts/    results: result.json, pictures
log.txt       what the process said      plan.json     the kept layers (search, prune)
model/        the saved model (train, prune, finetune)
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from tinylab import atomic
from tinylab.config import JobConfig, parse_config
from tinylab.errors import BadRequest
from tinylab.paths import exists

__all__ = ["ACTIVE", "Run", "Status"]

ACTIVE = ("starting", "running", "stopping")
_PACKAGES = ("tinylab", "torch", "diffusers", "peft", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Status:
    """How a run stands. Times are seconds since the epoch; `pid` and `process_start` name one process for sure."""

    state: str = "created"  # created, starting, running, stopping, stopped, finished, failed, interrupted
    message: str = ""
    step: int = 0
    steps: int = 0
    pid: int = 0
    process_start: float = 0.0
    created: float = 0.0
    heartbeat: float = 0.0
    seconds: float = 0.0  # time computed so far, over all resumes
    seconds_left: float | None = None

    @property
    def active(self) -> bool:
        """True while a process works on the run."""
        return self.state in ACTIVE


class Run:
    """One run folder. Reading never changes it; only the job's own process and its launcher write."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path, config: JobConfig) -> Run:
        """Make a new run folder; BadRequest if the place is taken or cannot be written."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise BadRequest(f"{path} is in use; choose another folder for --out, or delete it first")
        try:
            path.mkdir(parents=True, exist_ok=True)
            for name in ("checkpoints", "artifacts"):
                (path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise BadRequest(f"cannot write to {path}: {error.strerror}; choose another folder for --out") from None
        run = cls(path)
        with atomic.disk_errors("free some space and start again"):
            atomic.write_text(path / "origin.json", json.dumps(_origin(), indent=2))
            run.write_status(Status(created=time.time()))
            atomic.write_text(path / "config.json", config.to_json())  # last: it makes the folder a run
        return run

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run; BadRequest if the folder is none."""
        if not exists(path / "config.json") or not exists(path / "status.json"):
            raise BadRequest(f"{str(path)!r} is not a run folder; `tinylab runs` lists the runs there are")
        return cls(path)

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def artifacts(self) -> Path:
        """Folder of the results."""
        return self.path / "artifacts"

    @property
    def metrics_path(self) -> Path:
        """The metrics file."""
        return self.path / "metrics.db"

    @property
    def model_path(self) -> Path:
        """Folder of the saved model."""
        return self.path / "model"

    @property
    def plan_path(self) -> Path:
        """The plan file."""
        return self.path / "plan.json"

    def config(self) -> JobConfig:
        """What was asked."""
        return parse_config((self.path / "config.json").read_text(), str(self.path / "config.json"))

    def result(self) -> dict[str, Any]:
        """What a finished run found, {} before."""
        file = self.artifacts / "result.json"
        return json.loads(file.read_text()) if file.is_file() else {}

    def write_result(self, result: dict[str, Any]) -> None:
        """Store what the run found."""
        atomic.write_text(self.artifacts / "result.json", json.dumps(result, indent=2))

    def stored_status(self) -> Status:
        """The status as last written, whether its process still lives or not."""
        return Status(**json.loads((self.path / "status.json").read_text()))

    def status(self) -> Status:
        """The status now: an active run whose process is gone reads as interrupted."""
        status = self.stored_status()
        if status.active and not _alive(status):
            return replace(status, state="interrupted", message="its process ended without a word; resume it")
        return status

    def write_status(self, status: Status) -> None:
        """Replace the status."""
        atomic.write_text(self.path / "status.json", json.dumps(asdict(status), indent=2))


def own_process() -> dict[str, Any]:
    """The status fields that name this process."""
    return {"pid": os.getpid(), "process_start": psutil.Process().create_time()}


def _alive(status: Status) -> bool:
    if not status.pid:
        return time.time() - status.heartbeat < 30  # being started
    try:
        process = psutil.Process(status.pid)
        same = abs(process.create_time() - status.process_start) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _origin() -> dict[str, Any]:
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git on this machine
        commit = ""
    return {"python": platform.python_version(), "packages": versions, "git": commit or None}
