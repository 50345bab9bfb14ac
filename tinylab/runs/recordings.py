"""Recorded runs: real ones that come with the lab, for those who cannot compute one now. Nothing is written in them."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.json_file import read_object, write_json
from tinylab.paths import assets_folder, exists
from tinylab.runs.replay import replay_steps
from tinylab.runs.run import ACTIVATIONS, SNAPSHOTS, Run

__all__ = ["PREFIX", "is_recording", "record", "recording", "recordings", "recordings_folder"]

PREFIX = "recorded-"  # what the ids of all recordings begin with
_SHOWN = ("result.json", ACTIVATIONS, "candidates.csv", "study.json", "*.png")  # artifacts that views look at
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def recordings_folder() -> Path:
    """Where they lie, among the assets."""
    return assets_folder() / "recordings"


def recordings(kind: str | None = None) -> list[Run]:
    """All recordings of a kind, by name; what is damaged is passed over."""
    found = []
    for path in sorted(recordings_folder().glob(f"{PREFIX}*")):
        try:
            run = Run.open(path)
            run.stored_status()
            if kind in (None, run.config().kind):
                found.append(run)
        except BadRequest:
            continue
    return found


def recording(run_id: str) -> Run | None:
    """The recording with this id, None if there is none."""
    if not run_id.startswith(PREFIX) or Path(run_id).name != run_id:
        return None
    path = recordings_folder() / run_id
    return Run.open(path) if exists(path / "config.json") else None


def is_recording(run: Run) -> bool:
    """Whether the run came with the lab."""
    return run.id.startswith(PREFIX) and run.path.parent == recordings_folder()


def record(run: Run, name: str, shared: Callable[[str], str]) -> Run:
    """Make a recording of a run: what its views show, and nothing that names a place on this machine.

    Args:
        name: its id is this after `recorded-`.
        shared: what others read in place of a text that may be a place of this machine.

    Raises:
        BadRequest: the run is at work, there is nothing to watch in it, or there is a recording of that name.
    """
    if not _NAME.fullmatch(name):
        raise BadRequest(f"{name!r} is no name for a recording; use small letters, digits and single dashes")
    if not replay_steps(run) and not (run.status().state == "finished" and run.result()):
        raise BadRequest(f"run {run.id} has nothing to watch again; record one at rest, with something to show")
    path = recordings_folder() / f"{PREFIX}{name}"
    if exists(path):
        raise BadRequest(f"there is a recording called {path.name}; delete {path} first")
    (path / "artifacts").mkdir(parents=True)
    called = _renamed(shared)
    status = replace(run.stored_status(), pid=0, process_start=0.0, message=called(run.stored_status().message))
    origin = {**(read_object(run.path / "origin.json") or {}), "run": run.id}
    write_json(path / "status.json", asdict(status))
    write_json(path / "origin.json", origin)
    _copy_artifacts(run, path / "artifacts", called)
    plan = read_object(run.plan_path)
    if plan is not None:
        write_json(path / "plan.json", _each(plan, called))
    if run.metrics_path.is_file():
        _copy_metrics(run.metrics_path, path / "metrics.db")
    write_json(
        path / "config.json", _each(json.loads(run.config().to_json()), called)
    )  # last: it makes the folder a run
    return Run.open(path)


def _renamed(shared: Callable[[str], str]) -> Callable[[str], str]:
    """As `shared`, but a run that is recorded is called as its recording."""
    known = {str((read_object(one.path / "origin.json") or {}).get("run")): one.id for one in recordings()}

    def called(text: str) -> str:
        name = shared(text)
        return known.get(name, name) if Path(text).is_absolute() else name

    return called


def _each(value: Any, called: Callable[[str], str]) -> Any:
    """A JSON value with every text in it replaced."""
    if isinstance(value, str):
        return called(value)
    if isinstance(value, dict):
        return {name: _each(one, called) for name, one in value.items()}
    return [_each(one, called) for one in value] if isinstance(value, list) else value


def _copy_artifacts(run: Run, folder: Path, called: Callable[[str], str]) -> None:
    for source in (path for pattern in _SHOWN for path in sorted(run.artifacts.glob(pattern))):
        if source.suffix == ".json":
            write_json(folder / source.name, _each(read_object(source), called))
        else:
            atomic.write_bytes(folder / source.name, source.read_bytes())
    for picture in run.snapshots():
        (folder / SNAPSHOTS).mkdir(exist_ok=True)
        atomic.write_bytes(folder / SNAPSHOTS / picture.name, picture.read_bytes())


def _copy_metrics(source: Path, target: Path) -> None:
    """Everything in one file without side files, with no empty pages in it."""
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as db:
        db.execute("VACUUM INTO ?", (str(target),))
