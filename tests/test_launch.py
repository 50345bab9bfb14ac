"""Jobs as processes: start, refuse a second, stop, go on, survive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

from tinylab.config import PruneConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.runs import launch
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.record import Run, Status
from tinylab.runs.store import find_run, list_runs


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """End what a test started."""
    yield
    for run in list_runs():
        launch.stop(run)
    spare = launch._spare.process
    if spare is not None and spare.stdin is not None:
        spare.stdin.close()
        spare.wait(60)


def long_search(model: str) -> SearchConfig:
    return SearchConfig.create(
        model=model, pattern="2:4", steps=100_000, batch_size=4, log_every=1, checkpoint_every=20, threads=1
    )


def await_steps(run: Run, count: int) -> None:
    """Wait until the job has logged `count` steps."""
    while len(MetricsReader(run.metrics_path).scalars("loss")) < count:
        assert run.status().state in ("starting", "running"), run.status()


def test_a_job_runs_in_a_process_of_its_own_and_stops_when_asked(tiny_folder):
    run = launch.launch(long_search(tiny_folder))
    await_steps(run, 3)
    status = run.status()
    assert status.state == "running"
    assert status.pid != os.getpid()
    assert os.getpgid(status.pid) == status.pid  # a group of its own: signals to the app do not reach it
    launch.stop(run)
    assert run.status().state == "stopped"
    assert not psutil.pid_exists(status.pid) or psutil.Process(status.pid).status() == psutil.STATUS_ZOMBIE


def test_a_stopped_job_goes_on_where_it_was(tiny_folder):
    run = launch.launch(long_search(tiny_folder))
    await_steps(run, 2)
    launch.stop(run)
    done = run.status().step
    launch.relaunch(run)
    await_steps(run, done + 2)
    steps = [step for step, _ in MetricsReader(run.metrics_path).scalars("loss")]
    assert steps == list(range(1, len(steps) + 1))


def test_only_one_job_at_a_time(tiny_folder):
    first = launch.launch(long_search(tiny_folder))
    with pytest.raises(BadRequest, match=f"{first.id} is at work"):
        launch.launch(PruneConfig.create(model=tiny_folder, indices=(0,)))
    assert [run.id for run in list_runs()] == [first.id]


def test_of_two_tabs_that_start_a_job_at_once_one_is_refused(tiny_folder):
    config, start = PruneConfig.create(model=tiny_folder, indices=(0,)), threading.Barrier(2)

    def tab(_: int) -> str:
        start.wait()
        try:
            return launch.launch(config).id
        except BadRequest as problem:
            return str(problem)

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(tab, range(2)))
    (run,) = list_runs()
    assert run.id in said
    assert any(line.startswith(f"run {run.id} is at work") for line in said)


def test_a_killed_job_reads_as_interrupted_and_can_go_on(tiny_folder):
    run = launch.launch(long_search(tiny_folder))
    await_steps(run, 25)
    os.kill(run.status().pid, signal.SIGKILL)
    while run.status().active:
        launch.reap()
    assert run.status().state == "interrupted"
    assert launch.active_run() is None
    launch.relaunch(run)
    await_steps(run, 30)
    assert run.status().state == "running"


def test_a_bad_request_starts_nothing(tiny_folder, runs):
    with pytest.raises(BadRequest):
        launch.launch(SearchConfig.create(model=tiny_folder, pattern="3:5"))
    assert list_runs() == []


def test_a_finished_run_cannot_be_started_again(tiny_folder, runs):
    run = Run.create(runs / "done", PruneConfig.create(model=tiny_folder, indices=(0,)))
    run.write_status(Status(state="finished"))
    with pytest.raises(BadRequest, match="finished"):
        launch.relaunch(run)


def test_an_unexpected_error_is_said_in_the_status_and_kept_in_the_log(tiny_folder, runs):
    run = Run.create(runs / "broken", PruneConfig.create(model=tiny_folder, indices=(0,)))
    (run.path / "artifacts").rmdir()
    process = subprocess.run([sys.executable, "-m", "tinylab.runs.worker", str(run.path)], check=False)
    assert process.returncode != 0
    assert run.status().state == "failed"
    assert "artifacts" in run.status().message
    assert "Traceback" in (run.path / "log.txt").read_text()


def test_a_number_that_another_process_has_got_is_not_taken_for_the_job(tiny_folder, runs):
    run = Run.create(runs / "old", PruneConfig.create(model=tiny_folder, indices=(0,)))
    run.write_status(replace(run.stored_status(), state="running", pid=os.getpid(), process_start=1.0))
    assert run.status().state == "interrupted"
    launch.stop(run)  # and this process lives on


def test_a_waiting_process_ends_when_its_starter_is_gone(tmp_path):
    code = "from tinylab.runs import launch; launch.warm_up(); print(launch._spare.process.pid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    if psutil.pid_exists(pid):
        psutil.Process(pid).wait(60)
    assert not psutil.pid_exists(pid)


def test_foreign_folders_are_no_runs(runs, tiny_folder):
    (runs / "notes").mkdir(parents=True)
    (runs / "damaged").mkdir()
    (runs / "damaged" / "config.json").write_text("{")
    (runs / "damaged" / "status.json").write_text("{")
    assert list_runs() == []
    with pytest.raises(BadRequest):
        find_run("notes")
