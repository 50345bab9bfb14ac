"""What a visitor's runs, deleted runs and uploads may take of the disk of a public lab, and what goes first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from public_lab import public_settings
from run_folders import make_run

from app.access.keeping import carry_out
from app.access.quota import check_quota, check_space, deleted_runs, disk_share
from app.access.references import uploads_folder
from app.access.visitors import HOME, Visitor
from app.page.panel import launch_form
from tinylab.config import SearchConfig
from tinylab.errors import BadRequest
from tinylab.runs.owner import write_owner
from tinylab.runs.run import Run
from tinylab.runs.trash import delete, list_trash

ANNA, BEN = Visitor("anna", stranger=True), Visitor("ben", stranger=True)
MB = 2**20


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A public lab with little room."""
    with public_settings(monkeypatch, TINYLAB_MAX_MEGABYTES="3", TINYLAB_MAX_RUNS="2", TINYLAB_MAX_DISK="5") as found:
        yield found


def of_anna(runs: Path, run_id: str, megabytes: float = 0) -> Run:
    run = make_run(runs, SearchConfig.create(), run_id)
    write_owner(run.path, ANNA.name)
    (run.artifacts / "large.png").write_bytes(bytes(int(megabytes * MB)))
    return run


def uploaded(visitor: Visitor, name: str, megabytes: float, age: float) -> Path:
    folder = uploads_folder(visitor) / name
    folder.mkdir(parents=True)
    (folder / "model").write_bytes(bytes(int(megabytes * MB)))
    os.utime(folder, (1e9 - age, 1e9 - age))
    return folder


def test_deleted_runs_stay_until_their_room_is_needed_the_oldest_goes_first(runs: Path) -> None:
    for number, run_id in enumerate(("first", "second")):
        deleted = delete(of_anna(runs, run_id, 1.2))
        os.utime(runs / ".trash" / deleted, (1e9 + number, 1e9 + number))
    check_quota(ANNA)
    assert [one.run.id for one in deleted_runs(ANNA)] == ["second", "first"]
    of_anna(runs, "third", 1.2)
    check_quota(ANNA)
    assert [one.run.id for one in deleted_runs(ANNA)] == ["second"]


def test_deleting_does_not_make_room_for_ever_more(runs: Path) -> None:
    for number in range(5):
        delete(of_anna(runs, f"run-{number}", 2))
        check_quota(ANNA)
    assert sum(1 for _ in (runs / ".trash").iterdir()) == 1


def test_what_others_have_deleted_goes_where_the_disk_is_full(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delete(of_anna(runs, "gone", 2))
    with public_settings(monkeypatch, TINYLAB_MAX_DISK="1"):
        check_quota(BEN)
    assert list_trash() == []


def test_bringing_back_takes_one_of_the_runs_that_may_be_kept(runs: Path) -> None:
    trashed = carry_out({"do": "delete", "run": of_anna(runs, "a").id}, ANNA)["trashed"]
    for run_id in ("b", "c"):
        of_anna(runs, run_id)
    with pytest.raises(BadRequest, match="you keep 2 runs"):
        carry_out({"do": "restore", "run": trashed}, ANNA)
    delete(Run.open(runs / "b"))
    assert carry_out({"do": "restore", "run": trashed}, ANNA) == {"run": "a"}


def test_older_uploads_make_room_for_a_new_one_and_runs_do_not(runs: Path) -> None:
    kept = of_anna(runs, "kept", 1)
    old, new = uploaded(ANNA, "old", 0.8, age=20), uploaded(ANNA, "new", 0.8, age=10)
    check_space(ANNA, upload=MB // 10)
    assert old.exists() and new.exists()
    check_space(ANNA, upload=MB)
    assert not old.exists() and new.exists() and kept.path.exists()
    with pytest.raises(BadRequest, match="delete or thin some"):
        check_space(ANNA, upload=3 * MB)
    assert disk_share(ANNA).free > 1.9 * MB


def test_a_form_starts_nothing_where_there_is_no_room(runs: Path) -> None:
    for run_id in ("a", "b"):
        of_anna(runs, run_id)
    with pytest.raises(BadRequest, match="you keep 2 runs"):
        launch_form(lambda: SearchConfig.create(steps=1), {}, [], ANNA)
    assert {path.name for path in runs.iterdir()} == {"a", "b"}


def test_at_home_nothing_is_counted(runs: Path) -> None:
    for number in range(4):
        of_anna(runs, f"run-{number}", 2)
    check_quota(HOME)
    check_space(HOME, upload=100 * MB)
