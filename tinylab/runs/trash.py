"""Deleting a run is moving it away: `.trash/` in the runs folder, from where it comes back until a week has passed.

When a run was deleted is the time of its folder there, so that deleting works on a full disk, too.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.paths import exists, runs_folder
from tinylab.runs.locks import run_lock
from tinylab.runs.run import Run
from tinylab.runs.store import move_to_free_name

__all__ = ["WEEK", "Trashed", "delete", "empty_trash", "find_trashed", "list_trash", "purge", "refuse_busy", "restore"]

WEEK = 7 * 24 * 3600.0  # seconds


@dataclass(frozen=True)
class Trashed:
    """A deleted run.

    Attributes:
        deleted: when, in seconds since the epoch.
    """

    run: Run
    deleted: float


def trash_folder() -> Path:
    """Where deleted runs lie."""
    return runs_folder() / ".trash"


def delete(run: Run) -> str:
    """Move a run to the trash; what it is called there, which `restore` takes.

    Raises:
        BadRequest: it is at work or waits for its turn, or lies somewhere else.
    """
    if run.path.absolute().parent != runs_folder():
        raise BadRequest(f"{run.path} lies outside of {runs_folder()}; remove that folder by hand")
    refuse_busy(run, "delete")
    trash_folder().mkdir(parents=True, exist_ok=True)
    with run_lock(run):  # nobody begins to compute it meanwhile
        os.utime(run.path)
        return move_to_free_name(run.path, trash_folder() / run.id).name


def restore(trashed_id: str) -> Run:
    """Move a deleted run back.

    Raises:
        BadRequest: it is not in the trash, or a run of that name is there again.
    """
    folder = find_trashed(trashed_id).run.path
    target = runs_folder() / folder.name
    try:
        if not target.exists():
            os.rename(folder, target)
            return Run.open(target)
    except FileNotFoundError:
        raise BadRequest(f"run {folder.name} is gone from the trash") from None
    except OSError:  # a run was made there just now
        if not target.exists():
            raise
    raise BadRequest(f"a run {folder.name} is there again; rename or delete that one first")


def find_trashed(trashed_id: object) -> Trashed:
    """The deleted run of that name; BadRequest if there is none. The name may come from outside."""
    sound = isinstance(trashed_id, str) and trashed_id and trashed_id[0] != "." and Path(trashed_id).name == trashed_id
    folder = trash_folder() / str(trashed_id)
    if not sound or not exists(folder / "config.json"):
        raise BadRequest("that run is not in the trash; `tinylab trash` lists what is")
    return Trashed(Run.open(folder), folder.stat().st_mtime)


def list_trash() -> list[Trashed]:
    """All deleted runs, the one deleted last first."""
    found = []
    for folder in _folders():
        try:
            found.append(find_trashed(folder.name))
        except (BadRequest, OSError):  # restored meanwhile
            continue
    return sorted(found, key=lambda trashed: trashed.deleted, reverse=True)


def empty_trash(*, older_than: float = 0.0) -> int:
    """Remove for good what was deleted longer than that many seconds ago; how many runs those were.

    The app does so for a `WEEK` when it starts.
    """
    gone, now = 0, time.time()
    for folder in _folders():
        try:
            due = now - folder.stat().st_mtime >= older_than
        except OSError:  # somebody was faster
            continue
        if due:
            atomic.remove_folder(folder)
            gone += 1
    for leftover in trash_folder().glob(".*.part"):  # of removals that were killed
        atomic.remove_folder(leftover)
    return gone


def purge(trashed: Trashed) -> None:
    """Remove one deleted run for good."""
    atomic.remove_folder(trashed.run.path)


def refuse_busy(run: Run, verb: str) -> None:
    """BadRequest while the run is at work or waits for its turn."""
    state = run.status()
    if state.active:
        raise BadRequest(f"run {run.id} is at work; stop it, then {verb} it")
    if state.state == "queued":
        raise BadRequest(f"run {run.id} waits for its turn; stop it, then {verb} it")


def _folders() -> Iterator[Path]:
    try:
        yield from sorted(path for path in trash_folder().iterdir() if not path.name.startswith("."))
    except OSError:  # nothing was ever deleted
        return
