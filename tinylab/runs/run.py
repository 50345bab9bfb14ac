"""A run is a folder that explains itself: what was asked, its state, what it measured, what it made.

config.json   the job config             metrics.db    everything measured on the way
status.json   state, progress, process   checkpoints/  where a stopped run goes on
origin.json   versions, git commit       artifacts/    results: result.json, pictures
log.txt       output of the process      plan.json     the kept layers (search, prune)
model/        the saved model            lock          held by the process that computes
owner.json    whose it is
"""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import subprocess
import time
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from tinylab.config import JobConfig, parse_config
from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.file_cache import FileCache
from tinylab.files.json_file import read_object, write_json
from tinylab.paths import exists
from tinylab.runs.exit_reasons import last_exception, silent_exit
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.owner import write_owner
from tinylab.runs.status import ACTIVE, STATES, Status, is_alive, own_process

__all__ = ["ACTIVATIONS", "ACTIVE", "SNAPSHOTS", "STATES", "STOP", "Run", "Status", "Taken", "own_process"]

SNAPSHOTS = "snapshots"  # folder of pictures named by their step, of a fine-tuning
ACTIVATIONS = "activations.json"  # hidden states of the teacher, the cut and the recovered model
STOP = "stop"  # name of the file that asks a job to stop
_LARGEST = 64 * 2**20  # bytes of a file of JSON that is still read
_PACKAGES = ("tinylab", "torch", "diffusers", "peft", "numpy", "scikit-learn")
_statuses: FileCache[Status] = FileCache()
_configs: FileCache[JobConfig] = FileCache()


class Taken(BadRequest):
    """The folder for a new run is in use."""


class _Part:
    """The path of a file or folder in the run folder, as an attribute of the run."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: Run, owner: type[Run]) -> Path:
        return run.path / self._name


class Run:
    """One run folder. Reading never changes it; only the job's own process and its launcher write."""

    checkpoints, artifacts, model_path = _Part("checkpoints"), _Part("artifacts"), _Part("model")
    metrics_path, plan_path = _Part("metrics.db"), _Part("plan.json")

    def __init__(self, path: Path) -> None:
        self.path = path if isinstance(path, Path) else Path(path)
        self._made = False  # True where `create` made the folder itself

    @classmethod
    def create(cls, path: Path, config: JobConfig, *, owner: str = "") -> Run:
        """Make a new run folder, which belongs to `owner` from the first moment on.

        Raises:
            Taken: something lies there, or another process makes a run there at this moment.
            BadRequest: the place cannot be written.
            Failure: the disk is full; nothing is left behind.
        """
        run = cls(path)
        try:
            run._made = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise FileExistsError
            (path / "checkpoints").mkdir()  # of two that got this far, one makes it
            (path / "artifacts").mkdir()
        except FileExistsError:
            raise Taken(f"{path} is in use; choose another folder for --out, or delete it first") from None
        except OSError as error:
            place = _shortened(path)
            raise BadRequest(f"cannot write to {place}: {error.strerror}; choose another folder for --out") from None
        try:
            with atomic.disk_errors("free some space and start again"):
                write_json(path / "origin.json", _origin())
                run.write_status(Status(created=time.time()))
                write_owner(path, owner)
                atomic.write_text(path / "config.json", config.to_json())  # last: it makes the folder a run
        except BaseException:
            run._remove()
            raise
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

    def discard_unused(self) -> None:
        """Remove a run that `create` made here and that was refused before anything was computed."""
        with contextlib.suppress(BadRequest, OSError):
            status, results = self.stored_status(), (self.checkpoints, self.artifacts, self.model_path)
            if status.step or status.active or any(any(folder.glob("*")) for folder in results):
                return
            self._remove()

    def _remove(self) -> None:
        """Remove everything in the folder, and the folder itself if `create` made it."""
        for entry in self.path.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        if self._made:
            shutil.rmtree(self.path, ignore_errors=True)

    def config(self) -> JobConfig:
        """What was asked; BadRequest if the file is damaged, as for all that is read here."""
        path = f"{self.path}/config.json"
        return _configs.read(path, lambda: parse_config(json.dumps(_object(Path(path), "start the job again")), path))

    def result(self) -> dict[str, Any]:
        """What a finished run found, {} before."""
        path = self.artifacts / "result.json"
        return _object(path, "delete it to go on without it") if exists(path) else {}

    def metrics(self) -> MetricsReader:
        """What it has measured so far."""
        return MetricsReader(self.metrics_path)

    def snapshots(self) -> list[Path]:
        """The pictures that were drawn on the way, by their steps."""
        found = [path for path in (self.artifacts / SNAPSHOTS).glob("*.png") if path.stem.isdecimal()]
        return sorted(found, key=lambda path: int(path.stem))

    def activations(self) -> dict[str, Any]:
        """The hidden values that it has measured, by model; {} before."""
        return read_object(self.artifacts / ACTIVATIONS) or {}

    def write_result(self, result: dict[str, Any]) -> None:
        """Store what the run found."""
        write_json(self.artifacts / "result.json", result)

    def stored_status(self) -> Status:
        """The status as last written, whether its process still lives or not."""
        path = f"{self.path}/status.json"
        return _statuses.read(path, lambda: _read_status(Path(path)))

    def status(self) -> Status:
        """The status now: an active run whose process is gone reads as interrupted."""
        return self.status_of(self.stored_status())

    def status_of(self, status: Status) -> Status:
        """What the status that is stored means now."""
        if status.active and not is_alive(status):
            return replace(status, state="interrupted", message=silent_exit(self._last_exception(status)))
        return status

    def _last_exception(self, status: Status) -> str:
        """The exception that the log ends with, if it is of the process that `status` names."""
        log = self.path / "log.txt"
        try:
            return last_exception(log) if log.stat().st_mtime >= status.process_start else ""
        except OSError:
            return ""

    def write_status(self, status: Status) -> None:
        """Replace the status; on a full disk write it over the old one, which needs no space."""
        path, text = self.path / "status.json", json.dumps(asdict(status), indent=2)
        try:
            atomic.write_text(path, text)
        except OSError as error:
            if not (atomic.is_full(error) and path.is_file()):
                raise
            atomic.overwrite(path, text)

    def sweep(self) -> None:
        """Remove what was being written when a process was killed; for the process that now holds the run."""
        atomic.sweep(self.path)


def _read_status(path: Path) -> Status:
    remedy = "put {} in it, then `tinylab resume` goes on"
    values = _object(path, remedy)
    try:
        return Status.of(values)
    except (TypeError, ValueError):
        raise BadRequest(f"{path} is damaged; {remedy}") from None


def _object(path: Path, remedy: str) -> dict[str, Any]:
    found = read_object(path, _LARGEST)
    if found is None:
        raise BadRequest(f"{path} is damaged; {remedy}")
    return found


def _shortened(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}…{text[-20:]}"


def _origin() -> dict[str, Any]:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git on this machine
        commit = ""
    versions = {package: _version(package) for package in _PACKAGES}
    return {"python": platform.python_version(), "packages": versions, "git": commit or None}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
