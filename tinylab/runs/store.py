"""The runs there are: finding, listing and naming them."""

from __future__ import annotations

import time
from pathlib import Path

from tinylab.errors import BadRequest
from tinylab.paths import exists, runs_folder
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.record import Run

__all__ = ["find_plan", "find_run", "list_runs", "new_run_path"]


def new_run_path(kind: str) -> Path:
    """A free folder for a new run, named by kind and time."""
    stem = runs_folder() / f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, count = stem, 1
    while path.exists():
        count += 1
        path = stem.with_name(f"{stem.name}-{count}")
    return path


def find_run(reference: str) -> Run:
    """The run with this id in the runs folder, or in this folder."""
    if not reference:
        raise BadRequest("no run given; `tinylab runs` lists the runs there are")
    by_id = runs_folder() / reference
    if Path(reference).name == reference and exists(by_id / "config.json"):
        return Run.open(by_id)
    return Run.open(Path(reference))


def list_runs(kind: str | None = None) -> list[Run]:
    """All runs of the runs folder, newest first; folders that are no runs are passed over."""
    folder = runs_folder()
    if not folder.is_dir():
        return []
    runs = []
    for path in folder.iterdir():
        try:
            run = Run.open(path)
            created = run.stored_status().created
            if kind is None or run.config().kind == kind:
                runs.append((created, path.name, run))
        except (BadRequest, OSError, ValueError, TypeError):
            continue
    return [run for _, _, run in sorted(runs, key=lambda item: item[:2], reverse=True)]


def find_plan(reference: str) -> DepthPlan:
    """The plan in a plan.json, or of a finished search or prune run given by id or folder."""
    path = Path(reference)
    if exists(path) and path.is_file():
        return DepthPlan.load(path)
    run = find_run(reference)
    if not run.plan_path.is_file():
        raise BadRequest(f"run {run.id} has no plan yet; finish it with `tinylab resume {reference}`")
    return DepthPlan.load(run.plan_path)
