"""Processes for jobs: forks of one that waits, or that one itself; whose end is seen, and who outlives whom."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from launched_jobs import await_nursery, await_state, await_steps, end_all, long_search, short_prune

from tinylab.config import SearchConfig
from tinylab.errors import Failure
from tinylab.runs import launch
from tinylab.runs.devices import SLOT
from tinylab.runs.execute import execute, start_run
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.nursery import READY, SELF, Nursery, may_fork
from tinylab.runs.store import list_runs
from tinylab.runs.work_order import receive_work, work_order

where_jobs_fork = pytest.mark.skipif(not may_fork(), reason="jobs are no forks here")


@pytest.fixture(autouse=True)
def two_devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two devices, whatever this machine has; and end what a test started."""
    monkeypatch.setenv("TINYLAB_DEVICES", "2")
    yield
    end_all()


@pytest.fixture
def warm() -> Nursery:
    """The one that launches of all tests share, with everything imported."""
    await_nursery()
    return launch._nursery


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
    """One that has not begun yet, for tests that end it."""
    nursery = Nursery()
    monkeypatch.setattr(launch, "_nursery", nursery)
    yield nursery
    nursery.close()


def await_end(pid: int) -> None:
    """Wait until there is no such process, or nothing is left of it but its number."""
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.02)


@where_jobs_fork
def test_jobs_are_forks_and_the_waiting_process_stays(warm: Nursery, tiny_folder: str) -> None:
    runs = [launch.launch(short_prune(tiny_folder)) for _ in range(2)]
    pids = {run.stored_status().pid for run in runs}
    assert len(pids) == 2 and warm.process is not None and warm.process.pid not in pids
    for run in runs:
        await_state(run, "finished")
    assert warm.process.poll() is None
    while launch._children:
        launch.reap()


@where_jobs_fork
def test_a_fork_computes_what_any_process_does_on_several_threads(warm: Nursery, tmp_path: Path) -> None:
    config = SearchConfig.create(model="digits-dit", pattern="2:4", steps=2, batch_size=4, threads=2, log_every=1)
    forked = launch.launch(config)
    await_state(forked, "finished")
    here = start_run(config, tmp_path / "here")
    execute(here, quiet=True)
    losses = [MetricsReader(run.metrics_path).scalars("loss") for run in (forked, here)]
    assert losses[0] == losses[1] and len(losses[0]) == 2


def test_before_everything_is_imported_the_waiting_process_does_the_job_itself(
    fresh: Nursery, tiny_folder: str
) -> None:
    fresh.warm_up()
    waiting = fresh.process
    run = launch.launch(short_prune(tiny_folder))
    assert waiting is not None and run.stored_status().pid == waiting.pid and fresh.process is None
    await_state(run, "finished")
    assert waiting.wait(60) == 0


@pytest.mark.parametrize(("setting", "said"), [("0", b""), ("", READY if may_fork() else b"")])
def test_a_waiting_process_says_that_it_may_fork_where_it_may(tmp_path: Path, setting: str, said: bytes) -> None:
    script = (
        "from tinylab.runs import worker; worker._HEAVY = worker._JOBS = ()\n"
        "import os; print(worker._wait_for_work(), os.environ['TINYLAB_SLOT'])"
    )
    nursery, stdin = socket.socketpair()
    channel, there = socket.socketpair()
    with nursery, channel:
        with stdin, there:
            given = {**os.environ, "TINYLAB_FORK": setting}
            process = subprocess.Popen([sys.executable, "-c", script], stdin=stdin, env=given)
            socket.send_fds(nursery, [SELF], [there.fileno()])
            channel.sendall(work_order(tmp_path, 3))
        assert process.wait(60) == 0
        assert nursery.recv(10) == said
    assert (tmp_path / "log.txt").read_text() == f"{tmp_path} 3\n"


@where_jobs_fork
def test_the_end_of_a_fork_is_told(warm: Nursery) -> None:
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
def test_a_fork_whose_work_never_comes_ends(warm: Nursery) -> None:
    process, channel = warm.order()
    channel.close()
    await_end(process.pid)


@where_jobs_fork
def test_jobs_outlive_the_process_they_come_from_and_their_end_is_noticed(fresh: Nursery, tiny_folder: str) -> None:
    await_nursery()
    first, second = (launch.launch(long_search(tiny_folder)) for _ in range(2))
    for run in (first, second):
        await_steps(run, 1)
    assert fresh.process is not None
    fresh.process.kill()
    fresh.process.wait()
    assert first.status().active and second.status().active
    os.kill(first.status().pid, signal.SIGKILL)
    while first.stored_status().active:  # though the other goes on
        launch.reap()
        time.sleep(0.02)
    assert first.stored_status().message == "its process ended without a word; resume it"
    launch.stop(second)
    assert second.stored_status().state == "stopped"
    third = launch.launch(short_prune(tiny_folder))
    await_state(third, "finished")


def test_a_job_sees_the_environment_and_the_device_of_its_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY_AT_LAUNCH", "ü\udcff")
    monkeypatch.setattr("tinylab.runs.devices._gpus", lambda: ("GPU-a", "GPU-b"))
    order = work_order(Path("some run"), 3)
    monkeypatch.delenv("ONLY_AT_LAUNCH")
    monkeypatch.setenv("ONLY_IN_THE_NURSERY", "1")
    here, there = socket.socketpair()
    with here, there:
        here.sendall(order)
        before = dict(os.environ)
        try:
            assert receive_work(there) == str(Path("some run").absolute())
            known = dict(os.environ)
        finally:
            os.environ.clear()
            os.environ.update(before)
    assert known["ONLY_AT_LAUNCH"] == "ü\udcff" and "ONLY_IN_THE_NURSERY" not in known
    assert (known[SLOT], known["CUDA_VISIBLE_DEVICES"]) == ("3", "GPU-b")


def test_an_order_that_breaks_off_is_none() -> None:
    here, there = socket.socketpair()
    with there:
        here.sendall(work_order(Path("run"), 0)[:-1])
        here.close()
        assert receive_work(there) == ""


def test_processes_that_die_at_once_are_a_failure_with_a_mend(
    tiny_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def order(nursery: Nursery) -> None:
        tries.append(nursery)
        raise ConnectionResetError

    monkeypatch.setattr(Nursery, "order", order)
    with pytest.raises(Failure, match="ended 3 times before it began; see why: tinylab resume"):
        launch.launch(short_prune(tiny_folder))
    assert len(tries) == 3
    assert list_runs()[0].status().state == "failed"
