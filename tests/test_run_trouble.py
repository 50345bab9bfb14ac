"""Runs that are damaged, contested, refused or misplaced: one clear line, and nothing else suffers."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from killed_jobs import start_main
from run_folders import make_run
from safetensors.torch import load_file, save_file

from tinylab.cli import main
from tinylab.config import CompareConfig, PruneConfig, SearchConfig
from tinylab.errors import BadRequest, Failure
from tinylab.jobs.admission import resolve_paths
from tinylab.jobs.context import JobContext
from tinylab.jobs.execute import execute, start_run
from tinylab.jobs.facts import Facts
from tinylab.models.catalog import locate_model
from tinylab.models.families import WEIGHTS_FILE
from tinylab.runs.locks import run_lock
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import Run, Status, own_process
from tinylab.runs.store import damaged_runs, list_runs, new_run

BY_HAND = PruneConfig.create(indices=(0, 2))


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 2) -> str:
    """The last line on stderr of a command that ends with `status` and prints nothing else."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == status
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" not in printed.err
    return printed.err.strip().splitlines()[-1]


# One process a run


def test_a_run_that_is_held_is_refused_and_its_status_left_alone(runs: Path, tiny_folder: str) -> None:
    run = make_run(runs, PruneConfig.create(model=tiny_folder, indices=(0, 2)), "busy", state="stopped")
    before = (run.path / "status.json").read_bytes()
    with run_lock(run), pytest.raises(BadRequest, match="^run busy is at work already$"):
        execute(run, quiet=True)
    assert (run.path / "status.json").read_bytes() == before
    assert execute(run, quiet=True)["kept"] == {"blocks": [0, 2]}


def test_a_lock_dies_with_its_process(runs: Path) -> None:
    run = make_run(runs, BY_HAND, "held", state="stopped")
    script = (
        "import sys, pathlib; from tinylab.runs.run import Run; from tinylab.runs.locks import run_lock\n"
        "with run_lock(Run(pathlib.Path(sys.argv[1]))): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(BadRequest, match="at work already"), run_lock(run):
            pass
        holder.kill()
    with run_lock(run):
        pass


def test_of_two_that_resume_at_once_one_works_and_one_is_refused(runs: Path, tiny_folder: str) -> None:
    config = SearchConfig.create(model=tiny_folder, steps=100_000, batch_size=4, log_every=1, threads=1)
    run = make_run(runs, config, "wanted", state="stopped")
    seen = run.stored_status()  # what both saw
    first = start_main("tinylab", "resume", run.path, "--quiet")
    try:
        while not MetricsReader(run.metrics_path).scalars("loss"):
            assert first.exitcode is None
            time.sleep(0.02)
        run.write_status(seen)
        with pytest.raises(BadRequest, match="^run wanted is at work already$"):
            execute(run, quiet=True)
    finally:
        first.terminate()
        first.join()
    assert first.exitcode == 130
    assert run.stored_status().state == "stopped"


def test_a_run_that_another_process_has_finished_meanwhile_is_not_computed_again(runs: Path) -> None:
    run = make_run(runs, BY_HAND, "done")
    run.write_result({"found": 3})
    assert execute(run, quiet=True) == {"found": 3}


# New folders


def test_runs_of_the_same_second_get_folders_of_their_own(runs: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_run(BY_HAND).path, range(16)))
    assert len(set(made)) == 16
    assert {run.path for run in list_runs()} == set(made)


def test_two_that_want_the_same_empty_folder_do_not_share_it(tmp_path: Path) -> None:
    start = threading.Barrier(4)

    def create(_: int) -> bool:
        start.wait()
        try:
            return bool(Run.create(tmp_path / "one", BY_HAND))
        except BadRequest as problem:
            assert "is in use" in str(problem)
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(create, range(4))) == 1
    assert Run.open(tmp_path / "one").config() == BY_HAND


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "prune", "--indices", "0", "--out", tmp_path / ("x" * 300))
    assert "cannot write to" in line and "--out" in line and len(line) < 300
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there_before", [False, True])
def test_a_job_refused_at_its_start_leaves_no_folder(
    there_before: bool, tiny_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = Path(tiny_folder) / WEIGHTS_FILE
    tensors = load_file(weights)
    tensors["foreign"] = tensors.pop("pos_embed")
    save_file(tensors, weights)
    out = tmp_path / "out"
    if there_before:
        out.mkdir()
    assert "lacks pos_embed" in refusal(capsys, "prune", "--model", tiny_folder, "--indices", "0", "--out", out)
    assert out.exists() == there_before
    assert not there_before or list(out.iterdir()) == []


def test_a_run_that_has_computed_something_is_never_discarded(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "precious", BY_HAND)
    (run.checkpoints / "step-000000001").mkdir()
    run.discard_unused()
    assert run.config() == BY_HAND


# Damaged files

DAMAGE = ["", "{", "[]", "3", '{"colour": "red"}', '{"state": "flying"}', '{"step": "many"}', '{"pid": 1e99}', "\udc80"]


def damage(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))


@pytest.mark.parametrize("text", DAMAGE)
def test_a_damaged_status_is_one_line_with_a_mend_that_works(
    text: str, runs: Path, tiny_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(runs, PruneConfig.create(model=tiny_folder, indices=(0, 2)), "hurt", state="stopped")
    damage(run.path / "status.json", text)
    assert "status.json is damaged; put {} in it" in refusal(capsys, "resume", "hurt")
    damage(run.path / "status.json", "{}")
    assert run.stored_status() == Status()


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\udc80"])
def test_a_damaged_result_is_one_line(text: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(runs, BY_HAND, "hurt")
    damage(run.artifacts / "result.json", text)
    assert "result.json is damaged; delete it" in refusal(capsys, "resume", "hurt")


def test_one_damaged_run_does_not_hide_the_others(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs, BY_HAND, "sound")
    for name in ("no-config", "bad-config", "bad-status"):
        make_run(runs, BY_HAND, name, state="stopped")
    (runs / "no-config" / "config.json").unlink()
    (runs / "no-config" / "config.json").mkdir()
    damage(runs / "bad-config" / "config.json", '{"kind": "prune", "keep": -1}')
    damage(runs / "bad-status" / "status.json", "\udc80")
    assert main(["runs", "--json"]) == 0
    rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["sound"]["state"] == "finished"
    assert {name for name, row in rows.items() if row["state"] == "damaged"} == {
        "no-config",
        "bad-config",
        "bad-status",
    }
    assert [run.id for run in list_runs()] == ["sound"]
    assert len(damaged_runs()) == 3
    assert main(["runs"]) == 0
    assert "config.json is damaged; start the job again" in refusal(capsys, "resume", "no-config")


def test_damaged_metrics_are_one_line_and_can_be_deleted(runs: Path, tiny_folder: str) -> None:
    run = make_run(runs, PruneConfig.create(model=tiny_folder, indices=(0, 2)), "hurt", state="stopped")
    run.metrics_path.write_bytes(b"no database" * 1000)
    with pytest.raises(Failure, match=r"metrics\.db is damaged .*; delete it") as said:
        execute(run, quiet=True)
    assert (run.status().state, run.status().message) == ("failed", str(said.value))
    run.metrics_path.unlink()
    assert execute(run, quiet=True)["kept"] == {"blocks": [0, 2]}


def test_metrics_that_find_the_disk_full_end_the_job_and_it_can_go_on(
    runs: Path, tiny_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"steps": 8, "batch_size": 4, "log_every": 1, "checkpoint_every": 2, "skip": "exact"}
    config, connect = SearchConfig.create(model=tiny_folder, **values), sqlite3.connect
    run, sound = (start_run(config, runs / name) for name in ("full", "sound"))

    def narrow(*arguments: object, **options: object) -> sqlite3.Connection:
        db = connect(*arguments, **options)  # type: ignore[call-overload]
        db.executescript("PRAGMA page_size = 512; PRAGMA max_page_count = 6")
        return db

    with monkeypatch.context() as patch, pytest.raises(Failure, match="^the disk is full; .* `tinylab resume"):
        patch.setattr(sqlite3, "connect", narrow)
        execute(run, quiet=True)
    assert (run.status().state, run.status().message) == ("failed", "the disk is full; free some space and resume")
    assert execute(run, quiet=True) == execute(sound, quiet=True)
    read = [MetricsReader(one.metrics_path) for one in (run, sound)]
    assert [read[0].scalars(name) for name in read[0].names()] == [read[1].scalars(n) for n in read[1].names()]


def test_a_status_is_written_where_the_disk_takes_no_file_more(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(runs, BY_HAND, "full", state="running", message="a long message that is not needed any more")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    run.write_status(Status("failed", "the disk is full"))
    assert run.status() == Status("failed", "the disk is full")
    (run.path / "status.json").unlink()
    with pytest.raises(OSError):
        run.write_status(Status())
    assert not any(path.name.startswith(".") for path in run.path.iterdir())


def test_what_killed_writers_left_is_gone_when_a_run_goes_on(runs: Path, tiny_folder: str) -> None:
    run = make_run(runs, PruneConfig.create(model=tiny_folder, indices=(0, 2)), "hurt", state="stopped")
    (run.path / ".status.json-abc.part").touch()
    (run.checkpoints / ".step-000000002-abc.part").mkdir()
    execute(run, quiet=True)
    assert not any(path.name.endswith(".part") for path in run.path.rglob("*"))


def test_a_process_number_that_cannot_be_is_no_process(runs: Path) -> None:
    for number in (0, -5, 10**11):
        assert make_run(runs, BY_HAND, f"run{number}", state="running", pid=number).status().state == "interrupted"


# What a run says of itself


def test_the_last_status_names_the_step_that_was_reached(runs: Path) -> None:
    run = make_run(runs, BY_HAND, "quick", state="created")
    context = JobContext(run, quiet=True)
    for step in range(1, 8):
        context.progress(step, 100)
    assert run.stored_status().step < 7  # writing is rare
    context.finish("stopped")
    assert (run.stored_status().step, run.stored_status().steps) == (7, 100)


def test_ids_of_runs_mean_the_same_from_elsewhere(
    runs: Path, tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = start_run(PruneConfig.create(model=tiny_folder, indices=(0, 2)), runs / "cut")
    execute(cut, quiet=True)
    config = resolve_paths(CompareConfig.create(model=tiny_folder, plans=("cut",)), Facts())
    onward = resolve_paths(SearchConfig.create(model="cut"), Facts())
    found = locate_model("cut")
    monkeypatch.setenv("TINYLAB_RUNS", str(tmp_path / "elsewhere"))
    monkeypatch.chdir("/")
    assert config.plans == (str(cut.path),)
    assert onward.model == str(cut.path)
    assert locate_model(onward.model) == found


def test_a_folder_here_goes_before_a_run_of_the_same_name_as_it_did_when_asked(
    runs: Path, tiny_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(runs, BY_HAND, "tiny")
    monkeypatch.chdir(Path(tiny_folder).parent)
    assert resolve_paths(SearchConfig.create(model="tiny"), Facts()).model == tiny_folder


def test_a_run_at_work_reads_as_active(runs: Path) -> None:
    run = make_run(runs, BY_HAND, "busy", state="running", **own_process())
    assert run.status().active
    run.write_status(replace(run.stored_status(), process_start=1.0))
    assert not run.status().active


def test_our_app_is_started_whatever_lies_in_the_working_folder(tmp_path: Path) -> None:
    for name in ("app.py", "tinylab.py"):
        (tmp_path / name).write_text("raise SystemExit('not ours')")
    script = (
        "from tinylab.processes import module_command, module_environment; import subprocess, sys\n"
        "command = [*module_command('app')[:-2], '-c', 'import app, tinylab; print(app.__file__, tinylab.__file__)']\n"
        "subprocess.run(command, env=module_environment(), cwd=sys.argv[1], check=True)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", script, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout
    assert str(tmp_path) not in found and "app/__init__.py" in found
