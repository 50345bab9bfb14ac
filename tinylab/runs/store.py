"""The runs there are: finding, listing and naming them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tinylab.config import JobConfig
from tinylab.errors import BadRequest
from tinylab.paths import exists, runs_folder
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.record import Run, Taken

__all__ = ["damaged_runs", "find_plan", "find_run", "in_runs_folder", "list_runs", "new_run"]


_HIDDEN = "._"  # how folders begin that are kept beside the runs, such as the trash


def new_run(config: JobConfig, *, owner: str = "") -> Run:
    """A new run of the runs folder, named by kind and time; another of the same second gets a number, too."""
    stem = runs_folder() / f"{config.kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = stem, 1
    while True:
        try:
            return Run.create(path, config, owner=owner)
        except Taken:
            count += 1
            path = stem.with_name(f"{stem.name}-{count}")


def find_run(reference: str) -> Run:
    """The run with this id in the runs folder, or in this folder."""
    if not reference:
        raise BadRequest("no run given; `tinylab runs` lists the runs there are")
    by_id = runs_folder() / reference
    if Path(reference).name == reference and exists(by_id / "config.json"):
        return Run.open(by_id)
    return Run.open(Path(reference))


def in_runs_folder(path: Path) -> bool:
    """Whether a run in this folder is among those that `list_runs` finds."""
    return path.absolute().parent == runs_folder() and path.name[0] not in _HIDDEN


def list_runs(kind: str | None = None) -> list[Run]:
    """All runs of the runs folder, newest first; damaged ones and folders that are no runs are passed over.

    Those that have not changed since they were last read cost a look at two files each.
    """
    runs = []
    for path in _folders():
        try:
            run = Run(path)
            created, its_kind = run.stored_status().created, run.config().kind
            if kind in (None, its_kind):
                runs.append((created, path.name, run))
        except BadRequest:
            continue
    return [run for _, _, run in sorted(runs, key=lambda item: item[:2], reverse=True)]


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
        yield from sorted(path for path in runs_folder().iterdir() if path.name[0] not in _HIDDEN)
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
