"""A real Chromium against the real app: nothing may go wrong in the page, and nothing may leave this machine.

Without a browser these tests are skipped, and say so; under CI=true a missing browser is a failure.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil
import pytest

from tinylab.errors import BadRequest
from tinylab.runs.record import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-component-update",
    "--disable-background-networking",
    "--no-first-run",
)
LOCAL = {"127.0.0.1", "localhost", None}  # None: data: and blob:, which have no host
START_LIMIT = 120.0  # seconds; a machine busy with other work starts the app slowly


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder as a browser test."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. The policy for machines without one is here and in `.ci/install-browser`."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("CI=true, but there is no Chromium to run the browser tests with")
    pytest.skip("no Chromium here: THE APP WAS NOT TESTED IN A BROWSER")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for the whole session."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


class PageProblems(list[str]):
    """What went wrong in the pages of one test. A test that causes a problem on purpose clears it."""

    def watch(self, context: BrowserContext) -> None:
        """Collect script errors, console errors, and requests to other machines."""
        context.on("weberror", lambda event: self.append(f"script error: {event.error}"))
        context.on("console", lambda event: event.type == "error" and self.append(f"console error: {event.text}"))
        context.on("request", lambda event: self._check(event.url))
        context.on("page", lambda page: page.on("websocket", lambda event: self._check(event.url)))

    def _check(self, url: str) -> None:
        if urlsplit(url).hostname not in LOCAL:
            self.append(f"request to another machine: {url}")


@pytest.fixture
def page_problems() -> PageProblems:
    """The problems so far; the test fails at its end if there are any left."""
    return PageProblems()


@pytest.fixture
def context(browser: Browser, page_problems: PageProblems) -> Iterator[BrowserContext]:
    """A fresh browser profile (no storage, no cookies) whose pages are watched."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page_problems.watch(context)
    yield context
    context.close()
    assert list(page_problems) == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of its own for every test."""
    return context.new_page()


class AppServer:
    """The app as its own process, on a port and with a runs folder that stay the same over restarts."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        self.log = folder / "app.log"
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the app and wait until it answers."""
        environment = os.environ | {
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_SERVER_PORT": str(self.port),
            "TINYLAB_RUNS": str(self.runs),
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_LIMIT
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the app did not start; its last words:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End the app as a crash would. Jobs are processes of their own and go on."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill the app and start it again on the same port."""
        self.kill()
        self.start()

    def kill_jobs(self) -> None:
        """End the jobs that tests left running."""
        for file in self.runs.glob("*/status.json"):
            try:
                status = Run.open(file.parent).status()
                if status.active and status.pid:
                    psutil.Process(status.pid).kill()
            except (BadRequest, psutil.NoSuchProcess):
                continue


@pytest.fixture(scope="session")
def server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """The running app. A test that kills it starts it again."""
    yield from _running(tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="module")
def own_server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """An app for the tests of one file alone, where no other has left runs."""
    yield from _running(tmp_path_factory.mktemp("own-app"))


def _running(folder: Path) -> Iterator[AppServer]:
    server = AppServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        server.kill_jobs()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
