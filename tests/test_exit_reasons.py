"""Why a job ended: its status says in one line whether it was killed, crashed or ran out of memory, and what helps."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from killed_jobs import in_child
from launched_jobs import await_fork_server, await_state, await_steps, end_all, long_search, short_prune
from run_folders import make_run

from tinylab.config import PruneConfig
from tinylab.jobs.execute import execute
from tinylab.launch import launch
from tinylab.launch.fork_server import ForkServer
from tinylab.launch.handover import Child, record_end
from tinylab.runs import exit_reasons
from tinylab.runs.exit_reasons import exit_reason, last_exception, oom_kills, out_of_memory
from tinylab.runs.run import Run, Status

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    f()\n'
HELP = "free some and resume it, or start again with fewer images a step"
SILENT = "its process ended without a word; resume it"


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One device, whatever this machine has; and end what a test started."""
    monkeypatch.setenv("TINYLAB_DEVICES", "1")
    await_fork_server()
    yield
    end_all()


def await_word(run: Run) -> Status:
    """What stands in the status once its process is gone."""
    while run.stored_status().active:
        launch.reap()
        time.sleep(0.02)
    return run.stored_status()


def test_a_job_that_is_killed_or_crashes_says_why(tiny_folder: str) -> None:
    run = launch.launch(long_search(tiny_folder))
    await_steps(run, 2)
    os.kill(run.status().pid, signal.SIGKILL)
    said = await_word(run)
    assert (said.state, said.message) == ("interrupted", f"it was killed (signal 9); most often memory ran out; {HELP}")
    launch.relaunch(run)
    await_state(run, "running")  # steps are no sign: it may have logged more of them than its status said
    os.kill(run.status().pid, signal.SIGSEGV)
    said = await_word(run)
    assert said.state == "interrupted"
    assert said.message.startswith(
        "its process crashed with SIGSEGV (signal 11): a fault in a library or driver; resume"
    )
    assert "Fatal Python error: Segmentation fault" in (run.path / "log.txt").read_text()
    assert said.seconds_left is None


def test_a_job_whose_packages_are_broken_says_so(
    tiny_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "peft.py").write_text("raise ImportError('half installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    monkeypatch.setattr(launch, "_fork_server", ForkServer())
    said = await_word(launch.launch(short_prune(tiny_folder)))
    assert said.state == "interrupted"
    assert said.message == "its process ended with ImportError: half installed; log.txt in its folder says more"


def test_a_job_stopped_before_it_could_listen_reads_as_stopped(tiny_folder: str) -> None:
    run = launch.launch(long_search(tiny_folder))
    launch.stop(run)
    assert (run.stored_status().state, run.stored_status().message) == ("stopped", "stopped before its first step")


def with_little_memory(folder: Path) -> str:
    """Do a job in a process that may take 64 MiB more; what it ended with."""
    import sklearn.datasets  # noqa: F401

    import tinylab.jobs.prune  # noqa: F401

    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + 2**26, resource.RLIM_INFINITY))
    try:
        execute(Run(folder), quiet=True)
    except Exception as ended:
        return repr(ended)
    return ""


def test_a_job_for_which_memory_is_too_small_says_the_mend(tiny_folder: str, runs: Path) -> None:
    config = PruneConfig.create(model=tiny_folder, keep=2, samples=1_000_000, threads=1)
    run = Run.create(runs / "large", config)
    ended = in_child(with_little_memory, run.path)
    assert ended
    assert run.status().state == "failed", ended
    assert run.status().message.startswith(f"memory ran out; {HELP} ("), run.status().message


@pytest.mark.parametrize(
    ("log", "age", "end"),
    [
        ("", 0, ""),
        ("all is well\n", 0, ""),
        (f"{TRACEBACK}ValueError: no\n", 0, ". Its log ends with: ValueError: no"),
        (f"{TRACEBACK}ValueError: no\n", 100, ""),  # of an earlier process
    ],
)
def test_a_job_whose_end_nobody_saw_shows_the_end_of_its_log(runs: Path, log: str, age: float, end: str) -> None:
    now = time.time()
    run = make_run(runs, PruneConfig.create(indices=(0,)), "lost", state="running", pid=2**22, process_start=now - 50)
    (run.path / "log.txt").write_text(log)
    os.utime(run.path / "log.txt", (now - age, now - age))
    assert (run.status().state, run.status().message) == ("interrupted", SILENT + end)


@pytest.mark.parametrize(
    ("code", "given", "words"),
    [
        (-9, {}, f"it was killed (signal 9); most often memory ran out; {HELP}"),
        (-9, {"short_of_memory": True}, f"the system killed it because memory ran out; {HELP}"),
        (-6, {"exception": "MemoryError"}, f"memory ran out; {HELP} (MemoryError)"),
        (-15, {}, "it was ended by SIGTERM (signal 15); resume it"),
        (-1, {}, "it was ended by SIGHUP (signal 1); resume it"),
        (0, {}, SILENT),
        (3, {}, "its process ended with exit status 3 and no word in log.txt; resume it"),
        (1, {"exception": "ValueError: x"}, "its process ended with ValueError: x; log.txt in its folder says more"),
        (1, {"exception": "MemoryError"}, f"memory ran out; {HELP} (MemoryError)"),
    ],
)
def test_an_exit_status_in_words(code: int, given: dict, words: str) -> None:
    assert exit_reason(code, **given) == words


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"])
def test_a_crash_is_called_by_its_name(name: str) -> None:
    said = exit_reason(-signal.Signals[name], exception="Fatal Python error: Something")
    assert said.startswith(f"its process crashed with {name}") and "log.txt in its folder says where" in said


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (f"{TRACEBACK}KeyError: 3\n", "KeyError: 3"),
        (
            f"{TRACEBACK}torch.OutOfMemoryError: CUDA out of memory. Tried\n",
            "torch.OutOfMemoryError: CUDA out of memory. Tried",
        ),
        (f"{TRACEBACK}ValueError: one\n\nDuring handling:\n\n{TRACEBACK}RuntimeError: two\n", "RuntimeError: two"),
        (f"{TRACEBACK}RuntimeError: first line\nframe #0: c10\n\n", "RuntimeError: first line"),
        (f"{TRACEBACK}KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("Fatal Python error: Segmentation fault\n\nCurrent thread\n", "Fatal Python error: Segmentation fault"),
        ("Error: not one of Python's\n", ""),
        (f"{TRACEBACK}", ""),
        (f"{TRACEBACK}ValueError: {'x' * 5000}\n", f"ValueError: {'x' * 287}…"),
    ],
)
def test_the_last_exception_of_a_log(tmp_path: Path, log: str, found: str) -> None:
    path = tmp_path / "log.txt"
    path.write_text(log)
    assert last_exception(path) == found


def test_a_long_log_is_read_from_its_end_and_an_earlier_part_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"\xff line\n" * 100_000 + f"{TRACEBACK}ValueError: late\n".encode())
    assert last_exception(path) == "ValueError: late"
    assert last_exception(path, start=path.stat().st_size) == ""
    assert last_exception(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (ValueError("the memory of it"), False),
    ],
)
def test_exceptions_for_want_of_memory(error: Exception, is_memory: bool) -> None:
    assert bool(out_of_memory(error)) == is_memory


def test_the_counter_of_this_container_goes_before_that_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "groups").write_text("0::/lab\n")
    (tmp_path / "machine").write_text("nr_free_pages 5\noom_kill 70\n")
    monkeypatch.setattr(exit_reasons, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(exit_reasons, "_CGROUPS", tmp_path)
    monkeypatch.setattr(exit_reasons, "_MACHINE", tmp_path / "machine")
    assert oom_kills() == 70
    (tmp_path / "lab" / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert oom_kills() == 2


def ended_child(run: Run, oom_before: int) -> Child:
    """A worker of `run` that was killed."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    run.write_status(Status(state="running", pid=process.pid, process_start=1.0))
    process.kill()
    process.wait()
    return Child(process, run, oom_before=oom_before)


def test_a_kill_by_the_system_is_told_from_one_by_hand(runs: Path) -> None:
    run = make_run(runs, PruneConfig.create(indices=(0,)), "busy")
    for before, word in (
        (oom_kills(), "it was killed"),
        (oom_kills() - 1, "the system killed it because memory ran out"),
    ):
        record_end(ended_child(run, before))
        assert run.stored_status().message.startswith(word)


def test_the_word_of_a_later_process_is_not_written_over(runs: Path) -> None:
    run = make_run(runs, PruneConfig.create(indices=(0,)), "busy")
    child = ended_child(run, 0)
    for later in (Status(state="running", pid=1), Status(state="stopped", pid=child.process.pid)):
        run.write_status(later)
        record_end(child)
        assert run.stored_status() == later
