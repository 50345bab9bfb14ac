"""A real Chromium against the real app: nothing may go wrong in the page, and nothing may leave this machine.

Without a browser these tests are skipped, and say so; under CI=true a missing browser is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from app_server import AppServer, running_app
from lab_page import LabPage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

HERE = Path(__file__).resolve().parent
# The shell is the same engine without a window: a whole browser draws one, with its buttons, for every test.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
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
# A page that is being left breaks off what it was asking, and Gradio says so on the console. That is no problem.
MUTE_WHEN_LEFT = """addEventListener('beforeunload', () => {
    console.error = () => {};
    addEventListener('unhandledrejection', (event) => event.preventDefault());
});"""
SIZE = {"width": 1280, "height": 900}
LOCAL = {"127.0.0.1", "localhost", None}  # None: data: and blob:, which have no host


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
        context.add_init_script(MUTE_WHEN_LEFT)
        context.on("weberror", lambda event: self.append(f"script error: {event.error}"))
        context.on("console", lambda event: event.type == "error" and self.append(f"console error: {event.text}"))
        context.on("request", lambda event: self._check(event.url))
        context.on("page", lambda page: page.on("websocket", lambda event: self._check(event.url)))

    def _check(self, url: str) -> None:
        if urlsplit(url).hostname not in LOCAL:
            self.append(f"request to another machine: {url}")


@pytest.fixture(scope="session")
def all_problems() -> PageProblems:
    """Where all pages of this browser tell of their problems."""
    return PageProblems()


@pytest.fixture
def page_problems(all_problems: PageProblems) -> Iterator[PageProblems]:
    """The problems so far; the test fails at its end if there are any left."""
    yield all_problems
    left = list(all_problems)
    all_problems.clear()
    assert left == []


@pytest.fixture
def new_context(browser: Browser, page_problems: PageProblems) -> Iterator[Callable[..., BrowserContext]]:
    """Makes fresh browser profiles (no storage, no cookies) whose pages are watched: `new_context(locale="de-DE")`."""
    contexts: list[BrowserContext] = []

    def new(**look: Any) -> BrowserContext:
        contexts.append(browser.new_context(**{"viewport": SIZE, **look}))
        page_problems.watch(contexts[-1])
        return contexts[-1]

    yield new
    for context in contexts:
        context.close()


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    """A browser profile of its own for every test."""
    return new_context()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A page of its own for every test."""
    return context.new_page()


@pytest.fixture(scope="session")
def app(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """The running app: one for all tests of this process, for starting one takes ten seconds of a core."""
    with running_app(tmp_path_factory.mktemp("app")) as server:
        yield server


@pytest.fixture(scope="module")
def server(app: AppServer) -> AppServer:
    """The running app, without runs of other files. A test that kills it starts it again."""
    app.clear()
    return app


@pytest.fixture
def lab(page: Page, server: AppServer) -> LabPage:
    """The lab in a fresh browser."""
    return LabPage(page, server.url)


@pytest.fixture(scope="module")
def shared_page(browser: Browser, server: AppServer, all_problems: PageProblems) -> Iterator[Page]:
    """A page that the tests of one file share, for opening one takes three seconds of a core."""
    context = browser.new_context(viewport=SIZE)
    all_problems.watch(context)
    yield context.new_page()
    context.close()


@pytest.fixture
def shared_lab(shared_page: Page, server: AppServer, page_problems: PageProblems) -> Iterator[LabPage]:
    """The lab as the test before left it, in its usual size. For tests that bring about all that they look at."""
    yield LabPage(shared_page, server.url)
    shared_page.set_viewport_size(SIZE)
