"""A Gradio-SDK Space: jobs computed where a GPU is lent, with the real `spaces` package, and the launch file."""

from __future__ import annotations

import contextvars
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from page_client import PageClient

from app.access.settings import Limits
from tinylab.config import PruneConfig, SampleConfig
from tinylab.launch import in_process
from tinylab.runs.run import STOP, Run

spaces = pytest.importorskip("spaces", reason="pip install -r requirements-dev.txt")

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300.0  # seconds; two busy cores are slow


@pytest.fixture(autouse=True)
def nothing_runs_here() -> Iterator[None]:
    """Each test says for itself what runs in this process."""
    in_process._runners.clear()
    yield
    in_process._runners.clear()


@pytest.fixture
def sampling(tiny_folder: str, tmp_path: Path) -> Callable[..., Run]:
    """Makes runs that draw with a tiny model."""

    def make(name: str = "drawn", **values: object) -> Run:
        given = {"n": 4, "steps": 3, "device": "cpu", "threads": 1} | values
        return Run.create(tmp_path / name, SampleConfig.create(model=tiny_folder, **given))

    return make


def begin(run: Run) -> bool:
    return in_process.begin(run, replace(run.stored_status(), state="starting"))


def wait_until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_for_end(run: Run) -> str:
    wait_until(lambda: not run.stored_status().active and str(run.path) not in in_process._working)
    return run.stored_status().state


def test_a_lent_gpu_draws_in_this_process(sampling: Callable[..., Run]) -> None:
    import space

    in_process.run_here(space.KINDS, space.on_gpu)
    run = sampling()
    assert begin(run)
    assert wait_for_end(run) == "finished"
    assert run.stored_status().pid == os.getpid()
    assert run.result()["n"] == 4
    assert list(run.artifacts.glob("*.png"))


def test_other_kinds_keep_processes_of_their_own(tiny_folder: str, tmp_path: Path) -> None:
    in_process.run_here(["sample"], in_process.execute_here)
    run = Run.create(tmp_path / "cut", PruneConfig.create(model=tiny_folder, method="first", keep=2))
    before = run.stored_status()
    assert not begin(run)
    assert run.stored_status() == before


def test_a_job_in_a_thread_stops_when_asked_and_the_app_lives(sampling: Callable[..., Run]) -> None:
    in_process.run_here(["sample"], in_process.execute_here)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    run = sampling(n=256, steps=250)
    assert begin(run)
    wait_until(lambda: run.stored_status().step > 0)
    assert in_process.stop(run)
    assert wait_for_end(run) == "stopped"
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert not (run.path / STOP).exists()


def test_a_stopped_job_begins_again(sampling: Callable[..., Run]) -> None:
    in_process.run_here(["sample"], in_process.execute_here)
    run = sampling()
    (run.path / STOP).touch()  # left by an app that was killed
    assert begin(run)
    assert wait_for_end(run) == "finished"


def test_only_jobs_of_this_process_are_stopped_here(sampling: Callable[..., Run]) -> None:
    run = sampling()
    assert not in_process.stop(run)
    assert not (run.path / STOP).exists()


def test_no_gpu_to_be_had_is_said_in_the_status(sampling: Callable[..., Run]) -> None:
    def refuse(folder: str) -> None:
        raise RuntimeError("You have exceeded your GPU quota")

    in_process.run_here(["sample"], refuse)
    run = sampling()
    assert begin(run)
    assert wait_for_end(run) == "interrupted"
    assert run.stored_status().message == "You have exceeded your GPU quota"


def test_a_gpu_that_is_taken_back_is_said_in_the_status(sampling: Callable[..., Run]) -> None:
    in_process.run_here(["sample"], lambda folder: None)
    run = sampling()
    assert begin(run)
    assert wait_for_end(run) == "interrupted"
    assert "resume" in run.stored_status().message


def test_who_asked_is_known_when_the_turn_comes(sampling: Callable[..., Run]) -> None:
    asker: contextvars.ContextVar[str] = contextvars.ContextVar("asker", default="nobody")
    heard: list[str] = []
    in_process.run_here(["sample"], lambda folder: heard.append(asker.get()))
    run = sampling()
    token = asker.set("a visitor")
    in_process.remember(run)
    asker.reset(token)
    assert begin(run)
    wait_for_end(run)
    assert heard == ["a visitor"]


def test_the_launch_file_keeps_libraries_off_the_network_and_leaves_torch_alone() -> None:
    script = "import sys, os, space; print(os.environ['HF_HUB_OFFLINE'], 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1", "False"]


def test_the_launch_file_serves_the_page(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "TINYLAB_RUNS": str(tmp_path)}
    with (tmp_path / "app.log").open("wb") as log:
        app = subprocess.Popen([sys.executable, "space.py"], cwd=ROOT, env=os.environ | own, stdout=log, stderr=log)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                page = PageClient(f"http://127.0.0.1:{port}").open()
                break
            except OSError:
                assert app.poll() is None and time.monotonic() < until, (tmp_path / "app.log").read_text()
                time.sleep(0.2)
        assert page.component("search-start")
    finally:
        app.kill()
        app.wait()


def front_matter(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+): (.+)$", text, flags=re.MULTILINE))


def test_the_page_about_spaces_names_this_gradio_and_the_launch_file() -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "docs/space.md").read_text(), flags=re.DOTALL)
    assert block
    told = front_matter(block[1])
    pinned = re.search(r"^gradio==(\S+)", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    assert pinned and told["sdk_version"] == pinned[1]
    assert told["sdk"] == "gradio"
    assert (ROOT / told["app_file"]).is_file()


def test_every_variable_that_a_space_can_set_is_explained() -> None:
    names = set()
    for file in (ROOT / "space.py", *(ROOT / "app").rglob("*.py"), ROOT / "tinylab/paths.py"):
        names |= set(re.findall(r"\bTINYLAB_[A-Z]+[A-Z_]*[A-Z]\b", file.read_text()))
    text = (ROOT / "docs/space.md").read_text()
    assert {name for name in names if name not in text} == set()


def test_every_limit_is_told_with_its_default() -> None:
    text = (ROOT / "docs/space.md").read_text()
    rows = dict(re.findall(r"^\| `TINYLAB_MAX_(\w+)` \|.*\| (\d+) \|$", text, flags=re.MULTILINE))
    assert {name.lower(): int(value) for name, value in rows.items()} == {
        limit.name: getattr(Limits(), limit.name) for limit in fields(Limits)
    }
