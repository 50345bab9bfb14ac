"""The runs there are: finding, listing and naming them."""

import contextlib
import itertools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tinylab.config import JobConfig
from tinylab.errors import BadRequest
from tinylab.paths import exists, runs_folder
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.about import about
from tinylab.runs.recordings import recording
from tinylab.runs.run import Run, Status, Taken

__all__ = [
    "Listed",
    "damaged_runs",
    "find_plan",
    "find_run",
    "has_words",
    "in_runs_folder",
    "list_runs",
    "listed_runs",
    "move_to_free_name",
    "new_run",
    "unguessable",
]

_HIDDEN = "._"  # how folders begin that are kept beside the runs, such as the trash


@dataclass(frozen=True)
class Listed:
    """A run and what its files hold: its status as it was stored, and what was asked."""

    run: Run
    stored: Status
    config: JobConfig


def new_run(config: JobConfig, *, owner: str = "") -> Run:
    """A new run of the runs folder, named by kind and time; another of the same second gets a number, too.

    What is somebody's own has a name that nobody else can guess.
    """
    name = f"{config.kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    for path in _numbered(runs_folder() / (unguessable(name) if owner else name)):
        with contextlib.suppress(Taken):
            return Run.create(path, config, owner=owner)
    raise AssertionError  # there is always another number


def move_to_free_name(folder: Path, target: Path, taken: Callable[[str], object] = lambda name: None) -> Path:
    """Rename a run folder to `target`, or to that with a number where the name is taken; the path that it got.

    Args:
        taken: whether a name may not be used although no such folder is there.

    Raises:
        BadRequest: the folder is gone.
    """
    for path in _numbered(target):
        try:
            if not os.path.lexists(path) and not taken(path.name):
                os.rename(folder, path)  # fails where another process has just put a folder with files
                return path
        except FileNotFoundError:
            raise BadRequest(f"run {folder.name} is gone already") from None
        except OSError:
            if not os.path.lexists(path):
                raise
    raise AssertionError  # there is always another number


def _numbered(path: Path) -> Iterator[Path]:
    """The path, then the same with -2, -3 and so on."""
    yield path
    yield from (path.with_name(f"{path.name}-{count}") for count in itertools.count(2))


def unguessable(name: str) -> str:
    """The name with an ending that nobody comes upon by trying."""
    return f"{name}-{secrets.token_hex(6)}"


def find_run(reference: str) -> Run:
    """The run with this id in the runs folder, or in this folder."""
    if not reference:
        raise BadRequest("no run given; `tinylab runs` lists the runs there are")
    by_id = runs_folder() / reference
    if Path(reference).name == reference and exists(by_id / "config.json"):
        return Run.open(by_id)
    return recording(reference) or Run.open(Path(reference))


def in_runs_folder(path: Path) -> bool:
    """Whether a run in this folder is among those that `list_runs` finds."""
    return path.absolute().parent == runs_folder() and path.name[0] not in _HIDDEN


def list_runs(kind: str | None = None) -> list[Run]:
    """All runs of the runs folder, newest first; damaged ones and folders that are no runs are passed over."""
    return [each.run for each in listed_runs() if kind in (None, each.config.kind)]


def listed_runs() -> list[Listed]:
    """The same with what was read. Runs that have not changed since the last time cost a look at two files each."""
    found = []
    for path in _folders():
        run = Run(path)
        with contextlib.suppress(BadRequest):
            found.append(Listed(run, run.stored_status(), run.config()))
    return sorted(found, key=lambda each: (each.stored.created, each.run.id), reverse=True)


def damaged_runs() -> list[tuple[Path, str]]:
    """The folders that were runs and cannot be read any more, each with what is wrong."""
    damaged = []
    for path in _folders():
        if not (exists(path / "config.json") and exists(path / "status.json")):
            continue
        try:
            run = Run.open(path)
            run.stored_status()
            run.config()
        except BadRequest as problem:
            damaged.append((path, str(problem)))
    return damaged


def _folders() -> Iterator[Path]:
    try:
        folder = runs_folder()
        yield from (folder / name for name in sorted(os.listdir(folder)) if name[0] not in _HIDDEN)
    except OSError:  # there are none yet, or none that can be seen
        return


def find_plan(reference: str) -> DepthPlan:
    """The plan in a plan.json, or of a finished search or prune run given by id or folder."""
    path = Path(reference)
    if exists(path) and path.is_file():
        return DepthPlan.load(path)
    run = find_run(reference)
    if not run.plan_path.is_file():
        raise BadRequest(f"run {run.id} has no plan yet; finish it with `tinylab resume {reference}`")
    return DepthPlan.load(run.plan_path)


def has_words(run: Run, words: str) -> bool:
    """Whether all of these words are, in any order, in the run's id, name, notes, kind, state or model."""
    wanted = words.casefold().split()
    if not wanted:
        return True
    config, called = run.config(), about(run)
    model = str(getattr(config, "model", None) or "")
    text = "\n".join([run.id, called.name, called.notes, config.kind, run.status().state, model]).casefold()
    return all(word in text for word in wanted)
