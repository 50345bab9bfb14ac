"""What may go wrong around the page: crashes, restarts, deleted folders, several pages, impatient people."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest
from lab_page import LabPage, forget_closed_connections, run_ids
from playwright.sync_api import BrowserContext

from tinylab.config import SearchConfig
from tinylab.runs.run import Run, own_process


@pytest.fixture
def ended_jobs(server: Any) -> Iterator[None]:
    """Whatever the test leaves running ends with it."""
    yield
    server.kill_jobs()


@pytest.fixture
def long_search(lab: LabPage, server: Any, ended_jobs: None) -> Run:
    """A search that was started in the page and would take hours."""
    lab.open("?tab=search")
    lab.fill("search-steps", "1000000")
    lab.fill_more("search", "Images a step", "4")
    return Run.open(server.runs / lab.start("search"))


@pytest.fixture
def pretend_search(server: Any) -> Iterator[Run]:
    """A search at work that costs nothing: this process says that it computes it."""
    run = Run.create(server.runs / "search-pretended", SearchConfig.create())
    run.write_status(replace(run.stored_status(), state="running", step=1, steps=9, **own_process()))
    yield run
    shutil.rmtree(run.path, ignore_errors=True)


def test_job_outlives_the_app_and_the_open_page_finds_it_again(
    lab: LabPage, server: Any, long_search: Run, page_problems: list[str]
) -> None:
    process = psutil.Process(long_search.status().pid)
    columns = len(lab.wait_for_columns(0)[0])
    server.restart()
    assert process.is_running()
    # After a long absence of the app Gradio loads the page again by itself, after a short one it does not.
    lab.wait_for_more_columns(columns)
    lab.wait_for_run("search", long_search.id)
    lab.page.click("#search-stop:enabled")
    lab.wait_for_state("search", "stopped")
    forget_closed_connections(page_problems)


def test_killed_job_reads_as_interrupted_and_can_be_resumed(lab: LabPage, long_search: Run) -> None:
    psutil.Process(long_search.status().pid).kill()
    lab.wait_for_state("search", "interrupted")
    assert "Interrupted" in lab.slot("search", "status")
    lab.page.click("#search-resume:enabled")
    lab.wait_for_state("search", "running")
    lab.page.click("#search-stop:enabled")
    lab.wait_for_state("search", "stopped")
    assert not long_search.status().active


def test_impatient_clicks_start_one_run(lab: LabPage, server: Any, ended_jobs: None) -> None:
    before = run_ids(server.runs)
    lab.open("?tab=search")
    lab.fill("search-steps", "1000000")
    run = Run.open(server.runs / lab.start("search", clicks=3))
    lab.page.wait_for_selector("#search-start:disabled")
    lab.wait_for_state("search", "running")
    assert run_ids(server.runs) - before == {run.id}
    assert lab.page.locator("#search-message").count() == 0


def test_second_job_waits_in_line_and_can_be_taken_out(lab: LabPage, server: Any, pretend_search: Run) -> None:
    lab.open("?tab=generate")
    run = Run.open(server.runs / lab.start("sample"))
    lab.wait_for_state("sample", "queued")
    lab.wait(
        "document.querySelector('#sample-live [data-slot=status]').innerText.includes('Place 1 in the queue: 1 job')"
    )
    lab.wait("document.querySelector('#line').innerText.includes('1 at work · 1 queued')")
    lab.page.click("#sample-stop:enabled")
    lab.wait_for_state("sample", "stopped")
    assert "taken out of the queue" in run.status().message


def test_run_that_is_deleted_under_the_page_is_said_to_be_gone(lab: LabPage, pretend_search: Run) -> None:
    lab.open(f"?run={pretend_search.id}")
    lab.wait_for_state("search", "running")
    shutil.rmtree(pretend_search.path)
    lab.wait_for_state("search", "gone")
    assert "not there any more" in lab.page.locator("#search-live .tl-hint").inner_text()
    assert lab.page.locator("#search-live [data-slot]:visible").count() == 0
    lab.page.wait_for_selector("#search-start:enabled")
    lab.page.wait_for_selector("#search-stop:disabled")


def test_two_pages_show_the_same_run(lab: LabPage, context: BrowserContext, server: Any, pretend_search: Run) -> None:
    other = LabPage(context.new_page(), server.url)
    for view in (lab, other):
        view.open(f"?run={pretend_search.id}")
        view.wait_for_state("search", "running")
        assert view.shown("search") == pretend_search.id
    pretend_search.write_status(replace(pretend_search.stored_status(), state="stopped", step=4))
    for view in (lab, other):
        view.page.bring_to_front()
        view.wait_for_state("search", "stopped")
        assert "step 4 of 9" in view.slot("search", "status")
        view.page.wait_for_selector("#search-resume:enabled")


@pytest.mark.parametrize("run", ["../../etc/passwd", "<script>alert(1)</script>"])
def test_address_with_a_false_run_opens_the_page_as_usual(lab: LabPage, server: Any, run: str) -> None:
    lab.open(f"?run={run}&tab=search")
    lab.page.wait_for_selector("#search-start:enabled")
    assert lab.shown("search") in {"", *run_ids(server.runs)}


def test_narrow_page_has_the_panel_below_the_controls_and_nothing_beside_the_screen(
    lab: LabPage, pretend_search: Run
) -> None:
    lab.page.set_viewport_size({"width": 400, "height": 800})
    lab.open(f"?run={pretend_search.id}")
    lab.wait_for_state("search", "running")
    controls, panel = (lab.page.locator(f"#search-{part}").bounding_box() for part in ("start", "live"))
    assert controls and panel
    assert panel["y"] > controls["y"] + controls["height"]
    assert lab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    lab.page.locator("#search-runs input").click()
    lab.page.get_by_role("option", name="running").click()
    lab.wait(
        """() => { const { top, bottom } = document.querySelector("#search-live .tl-status").getBoundingClientRect();
                   return top >= 0 && bottom <= window.innerHeight; }"""
    )
