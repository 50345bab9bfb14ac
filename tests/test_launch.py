"""Jobs as processes: start, wait in line, stop, go on, survive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from killed_jobs import start_main
from launched_jobs import await_fork_server, await_state, await_steps, end_all, long_search, short_prune
from run_folders import make_run

from tinylab.config import PruneConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.launch import launch
from tinylab.launch.queue import Place, place_of, queued_runs, read_queue
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.owner import owner_of
from tinylab.runs.run import Run, Status, own_process
from tinylab.runs.store import find_run, list_runs


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One device, whatever this machine has; and end what a test started."""
    monkeypatch.setenv("TINYLAB_DEVICES", "1")
    await_fork_server()
    yield
    end_all()


def python(script: str, *arguments: str) -> subprocess.Popen:
    """Another lab over the same runs: a process that can import what tests share."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], env=here, **pipes)


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


def test_who_does_not_wait_is_refused_while_a_job_is_at_work(tiny_folder):
    first = launch.launch(long_search(tiny_folder))
    with pytest.raises(BadRequest, match=f"{first.id} is at work"):
        launch.launch(short_prune(tiny_folder), waits=False)
    assert [run.id for run in list_runs()] == [first.id]


def test_of_two_tabs_that_start_a_job_at_once_and_do_not_wait_one_is_refused(tiny_folder):
    config, start = short_prune(tiny_folder), threading.Barrier(2)

    def tab(_: int) -> str:
        start.wait()
        try:
            return launch.launch(config, waits=False).id
        except BadRequest as problem:
            return str(problem)

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(tab, range(2)))
    (run,) = list_runs()
    assert run.id in said
    assert any(queued_runs.startswith(f"run {run.id} is at work") for queued_runs in said)


def test_a_second_job_waits_and_starts_when_the_first_ends(tiny_folder):
    first = launch.launch(long_search(tiny_folder), owner="ann")
    second = launch.launch(short_prune(tiny_folder), owner="bob")
    assert (second.status().state, owner_of(second)) == ("queued", "bob")
    assert place_of(second) == Place(1, 1, None)
    await_steps(first, 1)
    launch.tend()
    assert second.status().state == "queued"
    launch.stop(first)
    await_state(second, "finished")
    assert queued_runs() == []
    assert second.result()["kept"] == {"blocks": [0]}


@pytest.mark.slow
def test_two_devices_take_two_jobs_at_once_and_each_knows_its_own(tiny_folder, monkeypatch):
    monkeypatch.setenv("TINYLAB_DEVICES", "2")
    pair = [launch.launch(long_search(tiny_folder)) for _ in range(2)]
    third = launch.launch(long_search(tiny_folder))
    for run in pair:
        await_steps(run, 1)
    assert [run.status().state for run in [*pair, third]] == ["running", "running", "queued"]
    assert [run.status().slot for run in pair] == [0, 1]
    launch.stop(pair[1])
    launch.tend()
    assert (third.status().active, third.status().slot) == (True, 1)


def test_a_run_taken_out_of_the_line_never_began_and_can_go_on(tiny_folder):
    first = launch.launch(long_search(tiny_folder))
    await_steps(first, 1)
    second = launch.launch(short_prune(tiny_folder))
    launch.stop(second)
    assert (second.status().state, second.status().message) == (
        "stopped",
        "taken out of the queue before it began",
    )
    assert not (second.path / "log.txt").exists()
    launch.relaunch(second)
    assert second.status().state == "queued"
    with pytest.raises(BadRequest, match=f"^run {second.id} is in line already; wait, or take it out$"):
        launch.relaunch(second)
    launch.stop(first)
    await_state(second, "finished")


def test_a_stopped_run_goes_to_the_end_of_the_line(tiny_folder):
    first = launch.launch(long_search(tiny_folder))
    await_steps(first, 2)
    second = launch.launch(long_search(tiny_folder))
    launch.stop(first)
    launch.relaunch(first)
    assert (first.status().state, second.status().active) == ("queued", True)
    launch.stop(first)
    assert first.status().message == "taken out of the queue before it went on"


def test_an_owner_may_have_so_many_jobs_in_line(tiny_folder, runs):
    make_run(runs, short_prune(tiny_folder), "busy", state="running", **own_process())
    launch.launch(short_prune(tiny_folder), owner="ann", most=1)
    with pytest.raises(BadRequest, match="^you have 1 job in line already; wait or take one out$"):
        launch.launch(short_prune(tiny_folder), owner="ann", most=1)
    launch.launch(short_prune(tiny_folder), owner="bob", most=1)
    assert len(list_runs()) == 3
    (runs / "busy" / "status.json").write_text('{"state": "stopped"}')


def test_a_run_outside_the_runs_folder_cannot_wait(tiny_folder, runs, tmp_path):
    busy = make_run(runs, short_prune(tiny_folder), "busy", state="running", **own_process())
    with pytest.raises(BadRequest, match="busy is at work"):
        launch.launch(short_prune(tiny_folder), tmp_path / "elsewhere")
    busy.write_status(Status(state="finished"))
    run = launch.launch(short_prune(tiny_folder), tmp_path / "elsewhere")
    await_state(run, "finished")


@pytest.mark.slow
def test_a_lab_started_anew_goes_on_with_the_line(tiny_folder):
    script = (
        "import sys; from launched_jobs import *; from tinylab.launch import launch\n"
        "for config in (long_search, short_prune): print(launch.launch(config(sys.argv[1])).id, flush=True)\n"
        "sys.stdin.read()"
    )
    lab = python(script, tiny_folder)
    first, second = (find_run(lab.stdout.readline().strip()) for _ in range(2))
    lab.kill()
    lab.communicate()
    await_steps(first, 1)
    assert second.status().state == "queued"
    launch.stop(first)  # the job of a process that is gone
    assert first.status().state == "stopped"
    await_state(second, "finished")


def test_two_labs_that_tend_one_line_start_one_job(tiny_folder, runs):
    for number in range(3):
        make_run(runs, long_search(tiny_folder), f"run{number}", state="queued", queued=1.0 + number)
    script = (
        "import sys; from tinylab.launch import launch\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(50): launch.tend()\n"
        "print(*(child.run.id for child in launch._children))"
    )
    labs = [python(script) for _ in range(2)]
    assert [lab.stdout.readline() for lab in labs] == ["ready\n"] * 2
    for lab in labs:
        lab.stdin.write("go\n")
        lab.stdin.flush()
    started = [name for lab in labs for name in lab.communicate()[0].split()]
    assert started == ["run0"]
    statuses = [find_run(f"run{number}").status() for number in range(3)]
    assert statuses[0].active and [status.state for status in statuses[1:]] == ["queued", "queued"]


@pytest.mark.slow
def test_one_thread_sees_to_the_line_by_itself(tiny_folder):
    script = (
        "import sys, threading, time; from launched_jobs import *; from tinylab.launch import launch\n"
        "launch.tend_always(); launch.tend_always()\n"
        "runs = [launch.launch(short_prune(sys.argv[1])) for _ in range(2)]\n"
        "while any(run.status().state in ('queued', 'starting', 'running') for run in runs): time.sleep(0.05)\n"
        "print(*(run.status().state for run in runs), threading.active_count())"
    )
    said, _ = python(script, tiny_folder).communicate()
    assert said.split() == ["finished", "finished", "2"]


def test_a_look_at_the_line_costs_nothing_while_nothing_happens(tiny_folder, runs, monkeypatch):
    busy = make_run(runs, short_prune(tiny_folder), "busy", state="running", **own_process())
    queued = launch.launch(short_prune(tiny_folder))
    looks = []
    monkeypatch.setattr(launch, "read_queue", lambda: looks.append(1) or read_queue())
    launch.tend()
    looks.clear()
    launch.tend()
    assert looks == []
    busy.write_status(Status(state="stopped"))
    launch.tend()
    assert looks and queued.status().active


def test_a_run_that_cannot_start_says_so_and_the_next_one_does(tiny_folder, runs, monkeypatch):
    for number in range(2):
        make_run(runs, short_prune(tiny_folder), f"run{number}", state="queued", queued=1.0 + number)
    (runs / "run0" / "log.txt").mkdir()
    while find_run("run0").status().state not in ("failed", "interrupted"):
        launch.tend()
    await_state(find_run("run1"), "finished")


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
    process = start_main("tinylab.launch.worker", run.path)
    process.join()
    assert process.exitcode != 0
    assert run.status().state == "failed"
    assert "artifacts" in run.status().message
    assert "Traceback" in (run.path / "log.txt").read_text()


def test_a_number_that_another_process_has_got_is_not_taken_for_the_job(tiny_folder, runs):
    run = Run.create(runs / "old", PruneConfig.create(model=tiny_folder, indices=(0,)))
    run.write_status(replace(run.stored_status(), state="running", pid=os.getpid(), process_start=1.0))
    assert run.status().state == "interrupted"
    launch.stop(run)  # and this process lives on


def test_foreign_folders_are_no_runs(runs, tiny_folder):
    (runs / "notes").mkdir(parents=True)
    (runs / "damaged").mkdir()
    (runs / "damaged" / "config.json").write_text("{")
    (runs / "damaged" / "status.json").write_text("{")
    assert list_runs() == []
    with pytest.raises(BadRequest):
        find_run("notes")
