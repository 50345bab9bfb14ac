"""Deleting moves runs away and brings them back; what is at work, in line or somewhere else is left alone."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from packed_runs import full_run
from run_folders import make_run

from tinylab.cli import main
from tinylab.config import SearchConfig
from tinylab.errors import BadRequest
from tinylab.runs.locks import run_lock
from tinylab.runs.run import Run, own_process
from tinylab.runs.store import list_runs
from tinylab.runs.trash import WEEK, delete, empty_trash, find_trashed, list_trash, restore


def test_deleted_run_is_gone_from_the_list_and_comes_back_whole(runs: Path) -> None:
    run = full_run(runs)
    before = {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    trashed = delete(run)
    assert list_runs() == [] and not run.path.exists()
    assert [(one.run.id, trashed) for one in list_trash()] == [("search-1", "search-1")]
    assert abs(list_trash()[0].deleted - time.time()) < 60
    back = restore(trashed)
    assert back.path == run.path and list_trash() == []
    assert {path.relative_to(run.path): path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_names_that_are_taken_cost_no_run(runs: Path) -> None:
    delete(make_run(runs, SearchConfig.create(seed=1), "search-1"))
    second = make_run(runs, SearchConfig.create(seed=2), "search-1")
    with pytest.raises(BadRequest, match="a run search-1 is there again") as refusal:
        restore("search-1")
    assert "\n" not in str(refusal.value) and second.config().seed == 2
    assert delete(second) == "search-1-2"
    assert restore("search-1").config().seed == 1
    assert restore("search-1-2").config().seed == 2


def test_run_at_work_or_in_line_is_not_deleted(runs: Path) -> None:
    run = make_run(runs, SearchConfig.create(), "search-1", state="running", **own_process())
    with pytest.raises(BadRequest, match="is at work; stop it"):
        delete(run)
    run.write_status(replace(run.stored_status(), state="queued", pid=0))
    with pytest.raises(BadRequest, match="waits for its turn; stop it"):
        delete(run)
    run.write_status(replace(run.stored_status(), state="stopped"))
    delete(run)
    assert list_runs() == []


def test_run_that_a_process_has_just_taken_is_not_deleted(runs: Path) -> None:
    run = make_run(runs, SearchConfig.create(), "search-1", state="stopped")
    with run_lock(run), pytest.raises(BadRequest, match="is at work already"):
        delete(run)
    assert run.path.exists()


def test_run_outside_of_the_runs_folder_is_left_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path / "elsewhere", SearchConfig.create(), "search-1")
    with pytest.raises(BadRequest, match="lies outside of"):
        delete(run)
    assert run.path.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../search-1", "/etc", ".trash", "x\x00", "search-2", None, 7, ["a"]])
def test_only_names_from_the_trash_are_restored(runs: Path, name: object) -> None:
    make_run(runs, SearchConfig.create(), "search-1")
    delete(make_run(runs, SearchConfig.create(), "search-3"))
    with pytest.raises(BadRequest, match="not in the trash"):
        find_trashed(name)


def test_trash_forgets_after_a_week(runs: Path) -> None:
    for number, age in ((1, WEEK + 60), (2, WEEK - 3600)):
        delete(make_run(runs, SearchConfig.create(), f"search-{number}"))
        os.utime(runs / ".trash" / f"search-{number}", (0, time.time() - age))
    (runs / ".trash" / ".search-9-old-1.part").mkdir()  # a removal that was killed
    assert empty_trash(older_than=WEEK) == 1
    assert [path.name for path in (runs / ".trash").iterdir()] == ["search-2"]
    assert empty_trash() == 1 and list_trash() == [] and empty_trash() == 0


def test_commands_delete_and_restore(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        make_run(runs, SearchConfig.create(), f"search-{number}")
    busy = make_run(runs, SearchConfig.create(), "search-3", state="running", **own_process())
    assert main(["delete", "search-1", busy.id]) == 2  # all or none
    assert len(list_runs()) == 3
    assert main(["delete", "search-1", "search-2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trashed"] == ["search-1", "search-2"]
    assert main(["trash", "--json"]) == 0
    assert {row["run"] for row in json.loads(capsys.readouterr().out)} == {"search-1", "search-2"}
    assert main(["restore", "search-1"]) == 0 and main(["restore", "search-1"]) == 2
    assert main(["trash", "--older-than", "1"]) == 2
    assert main(["trash", "--empty", "--older-than", "1"]) == 0 and len(list_trash()) == 1
    assert main(["trash", "--empty"]) == 0 and list_trash() == []
    assert {run.id for run in list_runs()} == {"search-1", "search-3"}


def test_every_run_is_found_again_after_a_race_for_one_name(runs: Path) -> None:
    """Delete, restore and make runs of one name in turn: none gets lost, none is put over another."""
    seeds = set()
    for seed in range(6):
        run = make_run(runs, SearchConfig.create(seed=seed), "search-1")
        delete(run)
        seeds.add(seed)
    assert {one.run.config().seed for one in list_trash()} == seeds
    assert len({Run(one.run.path).id for one in list_trash()}) == 6
