"""How much disk space runs take, part by part, and making it less. Free of torch."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from tinylab.files import atomic
from tinylab.files.json_file import read_object
from tinylab.paths import runs_folder
from tinylab.runs.locks import run_lock
from tinylab.runs.run import Run
from tinylab.runs.store import list_runs
from tinylab.runs.trash import refuse_busy, trash_folder

__all__ = ["DiskUse", "Usage", "disk_use", "folder_bytes", "thin", "usage"]

_PARTS = {"model": "model", "models": "model", "latents": "model", "checkpoints": "checkpoints"}
_STEP = re.compile(r"step-\d{9}")


@dataclass(frozen=True)
class Usage:
    """Bytes of a run by part: what it made, what it needs to go on, its results, its curves, and the rest."""

    model: int = 0
    checkpoints: int = 0
    artifacts: int = 0
    metrics: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class DiskUse:
    """Bytes of everything: all runs, the trash, what else lies in the runs folder, and what is free on its disk."""

    runs: int
    trash: int
    other: int
    free: int


def usage(run: Run) -> Usage:
    """How much disk space a run takes."""
    found = dict.fromkeys((field.name for field in fields(Usage)), 0)
    for entry in _entries(run.path):
        name = _PARTS.get(entry.name) or ("artifacts" if entry.name == "artifacts" else "other")
        found["metrics" if entry.name.startswith("metrics.db") else name] += _bytes(entry)
    return Usage(**found)


def disk_use() -> DiskUse:
    """How much disk space everything in the runs folder takes, and how much is left."""
    folder = runs_folder()
    runs = {run.path for run in list_runs()}
    runs_bytes = sum(folder_bytes(path) for path in runs)
    trash = folder_bytes(trash_folder())
    other = sum(_bytes(entry) for entry in _entries(folder) if Path(entry.path) not in {*runs, trash_folder()})
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    return DiskUse(runs_bytes, trash, other, shutil.disk_usage(there).free)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder and below; links count for themselves alone."""
    return sum(_bytes(entry) for entry in _entries(folder))


def thin(run: Run) -> int:
    """Drop the checkpoints that a run has no use for any more; how many bytes that freed.

    A finished run needs none. One that can go on needs the newest whole one of each of its trainings, and everything
    in its checkpoints folder that is no training's.

    Raises:
        BadRequest: it is at work or waits for its turn.
    """
    refuse_busy(run, "thin")
    with run_lock(run):
        before = folder_bytes(run.checkpoints)
        finished = run.stored_status().state == "finished"
        for path in list(run.checkpoints.iterdir()) if finished else _spare(run.checkpoints):
            if path.is_dir() and not path.is_symlink():
                atomic.remove_folder(path)
            else:
                path.unlink(missing_ok=True)
        return before - folder_bytes(run.checkpoints)


def _spare(checkpoints: Path) -> list[Path]:
    """The checkpoints, of all trainings, that are older than a whole one of the same training."""
    steps = sorted(path for path in checkpoints.rglob("step-*") if _STEP.fullmatch(path.name) and path.is_dir())
    spare = []
    for folder in {path.parent for path in steps}:
        several = [path for path in steps if path.parent == folder]
        newest = next((path for path in reversed(several) if len(several) > 1 and _is_whole(path)), None)
        spare += [path for path in several if newest is not None and path < newest]
    return spare


def _is_whole(checkpoint: Path) -> bool:
    """Whether the checksum in the manifest of a checkpoint holds."""
    wanted = (read_object(checkpoint / "MANIFEST.json") or {}).get("sha256")
    try:
        with (checkpoint / "state.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == wanted
    except OSError:
        return False


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError:  # removed meanwhile, or never there
        return


def _bytes(entry: os.DirEntry[str]) -> int:
    try:
        if entry.is_dir(follow_symlinks=False):
            return folder_bytes(Path(entry.path))
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return 0
