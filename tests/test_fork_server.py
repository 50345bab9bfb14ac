"""Processes for jobs: forks of one that waits, or that one itself; whose end is seen, and who outlives whom."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from launched_jobs import await_fork_server, await_state, await_steps, end_all, long_search, short_prune
from run_folders import make_run

from tinylab.config import SearchConfig
from tinylab.errors import Failure
from tinylab.jobs.execute import execute, start_run
from tinylab.launch import launch, worker
from tinylab.launch.fork_server import FORK, READY, SELF, ForkServer, may_fork, next_order
from tinylab.launch.handover import handover_message, read_handover
from tinylab.processes import module_environment
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import Status, own_process
from tinylab.runs.status import SLOT
from tinylab.runs.store import list_runs

where_jobs_fork = pytest.mark.skipif(not may_fork(), reason="jobs are no forks here")


@pytest.fixture(autouse=True)
def two_devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two devices, whatever this machine has; and end what a test started."""
    monkeypatch.setenv("TINYLAB_DEVICES", "2")
    yield
    end_all()


@pytest.fixture
def warm() -> ForkServer:
    """The one that launches of all tests share, with everything imported."""
    await_fork_server()
    return launch._fork_server


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    """One that has not begun yet, for tests that end it."""
    fork_server = ForkServer()
    monkeypatch.setattr(launch, "_fork_server", fork_server)
    yield fork_server
    end_all()
    if fork_server.process is not None:
        fork_server.process.kill()  # it would first import what it is at
    fork_server.close()


def no_successor(fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the process that waits for the jobs to come, for which a test has no more use while it imports everything."""
    if fork_server.process is not None:
        fork_server.process.kill()
    monkeypatch.setattr(ForkServer, "warm_up", lambda fork_server: None)


def await_end(pid: int) -> None:
    """Wait until there is no such process, or nothing is left of it but its number."""
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.02)


@where_jobs_fork
def test_jobs_are_forks_and_the_waiting_process_stays(warm: ForkServer, tiny_folder: str) -> None:
    runs = [launch.launch(short_prune(tiny_folder)) for _ in range(2)]
    pids = {run.stored_status().pid for run in runs}
    assert len(pids) == 2 and warm.process is not None and warm.process.pid not in pids
    for run in runs:
        await_state(run, "finished")
    assert warm.process.poll() is None
    while launch._children:
        launch.reap()


@where_jobs_fork
def test_a_fork_computes_what_any_process_does_on_several_threads(warm: ForkServer, tmp_path: Path) -> None:
    def asked(threads: int) -> SearchConfig:
        small = {"steps": 2, "batch_size": 4, "log_every": 1, "threads": threads, "skip": "exact"}  # no clock decides
        return SearchConfig.create(model="digits-dit", pattern="2:4", **small)

    forked = launch.launch(asked(threads=2))
    await_state(forked, "finished")
    here = start_run(asked(threads=1), tmp_path / "here")
    execute(here, quiet=True)
    losses = [[loss for _, loss in MetricsReader(run.metrics_path).scalars("loss")] for run in (forked, here)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4) and len(losses[0]) == 2


def test_before_everything_is_imported_the_waiting_process_does_the_job_itself(
    fresh: ForkServer, tiny_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh.warm_up()
    waiting = fresh.process
    run = launch.launch(short_prune(tiny_folder))
    assert waiting is not None and run.stored_status().pid == waiting.pid and fresh.process is None
    launch.tend()
    assert (fresh.process is not None) == may_fork()  # for the jobs to come
    no_successor(fresh, monkeypatch)
    await_state(run, "finished")
    assert waiting.wait(60) == 0


@pytest.mark.parametrize("may", [True, False])
def test_only_a_process_that_may_fork_says_that_it_is_ready(tmp_path: Path, may: bool) -> None:
    script = (
        "import os, sys, torch; from tinylab.launch import worker\n"
        "worker._HEAVY = worker._JOBS = (); torch.accelerator.is_available = lambda: False\n"
        "print(worker._wait_for_work(may_fork=sys.argv[1] == 'True'), os.environ['TINYLAB_SLOT'])"
    )
    fork_server, stdin = socket.socketpair()
    with fork_server, stdin:
        process = subprocess.Popen([sys.executable, "-c", script, str(may)], stdin=stdin)
        fork_server.sendall(SELF + handover_message(tmp_path, 3))
        assert process.wait(60) == 0
        fork_server.settimeout(0)
        assert (fork_server.recv(10) == READY) if may else pytest.raises(BlockingIOError, fork_server.recv, 10)
    assert (tmp_path / "log.txt").read_text() == f"{tmp_path} 3\n"


def test_a_setting_forbids_forks(fresh: ForkServer, tiny_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLAB_FORK", "0")
    assert not may_fork()
    fresh.warm_up()
    waiting = fresh.process
    assert waiting is not None and psutil.Process(waiting.pid).cmdline()[-1] == "--wait"
    run = launch.launch(short_prune(tiny_folder))
    assert run.stored_status().pid == waiting.pid
    await_state(run, "finished")


def test_without_forks_the_next_process_is_ready_when_a_job_is_about_to_end(
    fresh: ForkServer, tiny_folder: str, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLAB_DEVICES", "1")
    monkeypatch.setenv("TINYLAB_FORK", "0")
    busy = make_run(runs, short_prune(tiny_folder), "busy", state="running", seconds_left=99.0, **own_process())
    launch.launch(short_prune(tiny_folder))
    launch.tend()
    assert fresh.process is None
    busy.write_status(replace(busy.stored_status(), seconds_left=9.0))
    launch.tend()
    assert fresh.process is not None and fresh.process.poll() is None
    busy.write_status(Status(state="stopped"))


def test_a_waiting_process_ends_when_its_starter_is_gone() -> None:
    code = "from tinylab.launch import launch; launch.warm_up(); print(launch._fork_server.process.pid)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(done.stdout)
    if psutil.pid_exists(pid):
        psutil.Process(pid).wait(60)
    assert not psutil.pid_exists(pid)


@where_jobs_fork
def test_the_end_of_a_fork_is_told(warm: ForkServer) -> None:
    ends = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        process, _ = warm.order()
        assert process.poll() is None
        process.send_signal(number)
        ends.append(process.wait(60))
    assert ends == [-signal.SIGKILL, -signal.SIGTERM]
    process.kill()  # of one that has ended: nothing happens
    assert process.poll() == -signal.SIGTERM


@where_jobs_fork
def test_a_fork_whose_work_never_comes_ends(warm: ForkServer) -> None:
    process, channel = warm.order()
    channel.close()
    await_end(process.pid)


def test_where_there_is_no_room_for_a_process_the_app_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(errno.EAGAIN, "no room")

    monkeypatch.setattr(os, "fork", fork)
    fork_server, there = socket.socketpair()
    channel, its_end = socket.socketpair()
    with channel, its_end, there:
        with fork_server:
            socket.send_fds(fork_server, [FORK], [its_end.fileno()])
        assert next_order(there) is None  # it has answered, and goes on to the end
        monkeypatch.setattr(ForkServer, "warm_up", lambda fork_server: None)
        starved = ForkServer()
        starved.process, starved._ready = subprocess.Popen(["sleep", "600"]), True
        starved._socket, _ = socket.socketpair()
        monkeypatch.setattr(socket, "socketpair", lambda: (channel, its_end))
        try:
            with pytest.raises(Failure, match="no room for the process of a job: Resource temporarily unavailable"):
                starved.order()
            assert starved.process.poll() is None
        finally:
            starved.process.kill()
            starved.close()


def test_what_libraries_ask_when_they_are_imported_starts_no_gpu(tmp_path: Path) -> None:
    """Else CUDA_VISIBLE_DEVICES, which comes with the work, comes too late."""
    (tmp_path / "probe.py").write_text("import os; print(os.environ['PYTORCH_NVML_BASED_CUDA_CHECK'])")
    script = "from tinylab.launch import worker; worker._HEAVY, worker._JOBS = ('probe',), (); worker.main()"
    given = module_environment()
    given["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{given['PYTHONPATH']}"
    fork_server, stdin = socket.socketpair()
    with fork_server:
        with stdin:
            command = [sys.executable, "-c", script, "--wait"]
            process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, env=given, text=True)
        fork_server.sendall(SELF)  # and no work
    assert process.communicate(timeout=60)[0] == "1\n"


def test_generators_that_nobody_seeds_differ() -> None:
    with torch.random.fork_rng():
        seeds = set()
        for _ in range(3):
            torch.manual_seed(0)
            worker._reseed()
            seeds.add(torch.initial_seed())
    assert len(seeds) == 3


@where_jobs_fork
def test_jobs_outlive_the_process_they_come_from_which_is_replaced_and_their_end_is_noticed(
    fresh: ForkServer, tiny_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLAB_DEVICES", "4")
    await_fork_server()
    first, second = (launch.launch(long_search(tiny_folder)) for _ in range(2))
    for run in (first, second):
        await_steps(run, 1)
    young = launch.launch(long_search(tiny_folder))
    waiting = fresh.process
    assert waiting is not None
    waiting.kill()
    launch.stop(young)  # whoever saw its end, it reads as stopped
    assert young.stored_status().state == "stopped"
    third = launch.launch(short_prune(tiny_folder))
    assert third.stored_status().pid != waiting.pid
    no_successor(fresh, monkeypatch)
    waiting.wait()
    assert first.status().active and second.status().active
    os.kill(first.status().pid, signal.SIGKILL)
    while first.stored_status().active:  # though the other goes on
        launch.reap()
        time.sleep(0.02)
    assert first.stored_status().message == "its process ended without a word; resume it"
    launch.stop(second)
    assert second.stored_status().state == "stopped"
    await_state(third, "finished")


def test_a_job_sees_the_settings_and_the_device_of_its_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYLAB_AT_LAUNCH", "ü\udcff")
    monkeypatch.setattr("tinylab.launch.devices._gpus", lambda: ("GPU-a", "GPU-b"))
    order = handover_message(Path("some run"), 3)
    monkeypatch.delenv("TINYLAB_AT_LAUNCH")
    monkeypatch.setenv("TINYLAB_BEFORE", "1")
    monkeypatch.setenv("OF_A_LIBRARY", "1")
    here, there = socket.socketpair()
    with here, there:
        here.sendall(order)
        before = dict(os.environ)
        try:
            assert read_handover(there) == str(Path("some run").absolute())
            known = dict(os.environ)
        finally:
            os.environ.clear()
            os.environ.update(before)
    assert known["TINYLAB_AT_LAUNCH"] == "ü\udcff" and "TINYLAB_BEFORE" not in known and "OF_A_LIBRARY" in known
    assert (known[SLOT], known["CUDA_VISIBLE_DEVICES"]) == ("3", "GPU-b")


def test_an_order_that_breaks_off_is_none() -> None:
    here, there = socket.socketpair()
    with there:
        here.sendall(handover_message(Path("run"), 0)[:-1])
        here.close()
        assert read_handover(there) == ""


def test_processes_that_die_at_once_are_a_failure_with_a_mend(
    tiny_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def order(fork_server: ForkServer) -> None:
        tries.append(fork_server)
        raise ConnectionResetError

    monkeypatch.setattr(ForkServer, "order", order)
    with pytest.raises(Failure, match="ended 3 times before it began; see why: tinylab resume"):
        launch.launch(short_prune(tiny_folder))
    assert len(tries) == 3
    assert list_runs()[0].status().state == "failed"
