"""Strangers at one public lab, by raw requests: nobody sees, stops or uses what is another's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from app_server import AppServer, running_app
from raw_page import RawPage

from tinylab.config import SearchConfig
from tinylab.runs.owner import owner_of
from tinylab.runs.run import Run

PATIENCE = 120.0  # seconds


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A public lab with small limits."""
    limits = {"TINYLAB_MAX_STEPS": "5000", "TINYLAB_MAX_LINE": "2", "TINYLAB_MAX_UPLOAD": "1"}
    with running_app(tmp_path_factory.mktemp("public"), TINYLAB_PUBLIC="1", **limits) as server:
        yield server


@pytest.fixture
def anna(lab: AppServer) -> RawPage:
    """One visitor."""
    return RawPage(lab.url)


@pytest.fixture
def ben(lab: AppServer) -> RawPage:
    """Another one."""
    return RawPage(lab.url)


@pytest.fixture
def annas(lab: AppServer, anna: RawPage) -> Iterator[Run]:
    """A search of Anna's that is at work."""
    yield start_search(lab, anna)
    for run in map(Run, lab.runs.glob("search-*")):
        stop(anna, run)
    lab.kill_jobs()


def wait(until: Callable[[], Any]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def start_search(lab: AppServer, page: RawPage, **values: Any) -> Run:
    """Press Search on a page with many steps in the form; the run that there is afterwards."""
    before = set(lab.runs.glob("search-*"))
    said = press_search(page, **values)
    made = set(lab.runs.glob("search-*")) - before
    assert len(made) == 1, said
    return Run.open(made.pop())


def press_search(page: RawPage, **values: Any) -> str:
    """Press Search; everything that came back, as text."""
    event = page.dependency("search-start", "click")
    form = {"loaded_model": "digits-dit", "search_pattern": "6:12", "search_steps": 4000, **values}
    data = page.inputs(event, **form)
    return str(page.fire(event, data)["output"])


def stop(page: RawPage, run: Run) -> str:
    """Press Stop as if the page showed `run`."""
    # The click first greys the button; what follows it stops the run.
    halting = page.after(page.dependency("search-stop", "click"))
    return str(page.fire(halting, [run.id])["output"])


def test_opening_the_page_gives_a_cookie_that_scripts_cannot_read(lab: AppServer) -> None:
    first = httpx.get(lab.url)
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Secure" not in cookie
    again = httpx.get(lab.url, headers={"cookie": cookie.split(";")[0]})
    assert "set-cookie" not in again.headers
    behind_proxy = httpx.get(lab.url, headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    assert "SameSite=None; Secure; Partitioned" in behind_proxy


def test_a_run_belongs_to_who_started_it_and_is_not_there_for_others(
    lab: AppServer, anna: RawPage, ben: RawPage, annas: Run
) -> None:
    assert owner_of(annas).startswith("cookie-")
    wait(lambda: anna.ask("search", {"run": annas.id}).get("state") == "running")
    nobody = RawPage(lab.url, opens=False)
    nobody.client.cookies.clear()
    for stranger in (ben, nobody):
        assert stranger.ask("search", {"run": annas.id}).get("gone") is True
        assert stranger.ask("search", {"run": annas.id, "start": 0, "count": 5}, "replay").get("gone") is True
        pick = stranger.dependency("search-runs", "input")
        assert annas.id not in str(stranger.fire(pick, [annas.id])["output"].get("data", [])[1:2])
        stop(stranger, annas)
        assert stranger.client.get(f"/tinylab/archive/{annas.id}").status_code == 404
    assert annas.status().active
    assert anna.ask("search", {"run": annas.id})["state"] == "running"
    stop(anna, annas)
    wait(lambda: annas.status().state == "stopped")
    resume = ben.dependency("search-resume", "click")
    ben.fire(resume, [annas.id])
    assert annas.status().state == "stopped"


def test_jobs_of_two_visitors_wait_for_each_other(lab: AppServer, anna: RawPage, ben: RawPage, annas: Run) -> None:
    bens = start_search(lab, ben)
    status = ben.ask("search", {"run": bens.id})
    assert status["state"] == "queued"
    assert "Place 1 in the queue" in status["html"]["status"]
    stop(anna, bens)
    assert bens.status().state == "queued"
    stop(anna, annas)
    wait(lambda: bens.status().state == "running")
    stop(ben, bens)
    wait(lambda: bens.status().state == "stopped")


def test_a_visitor_has_so_many_jobs_in_line_and_no_more(lab: AppServer, anna: RawPage, annas: Run) -> None:
    for _ in range(2):
        start_search(lab, anna)
    assert "in line already" in press_search(anna)


def test_requests_beyond_the_limits_are_refused_however_they_come(lab: AppServer, ben: RawPage) -> None:
    assert "at most 5,000 in a public lab" in press_search(ben, search_steps=900_000)
    assert "not yours to load" in press_search(ben, loaded_model="/etc")


def test_who_keeps_no_cookie_uploads_nothing(lab: AppServer) -> None:
    refused = httpx.post(f"{lab.url}/gradio_api/upload", files={"files": ("a.zip", bytes(9))})
    assert refused.status_code == 503 and "keeps no cookie" in refused.text


def test_uploads_that_nobody_reads_do_not_fill_the_disk(lab: AppServer, ben: RawPage) -> None:
    def upload(size: int) -> int:
        return ben.client.post("/gradio_api/upload", files={"files": ("a.zip", bytes(size))}).status_code

    assert upload(9) == 200
    (lab.uploads / "unread").write_bytes(bytes(3 * 2**20))
    assert upload(9) == 503
    (lab.uploads / "unread").unlink()
    assert upload(9) == 200


def test_an_upload_beyond_the_limit_is_refused_by_the_server(lab: AppServer, ben: RawPage) -> None:
    large = {"files": ("model.safetensors", bytes(2 * 2**20))}
    assert ben.client.post("/gradio_api/upload", files=large).status_code == 413


def test_a_model_of_another_is_not_loaded_by_its_path(lab: AppServer, anna: RawPage, ben: RawPage, annas: Run) -> None:
    load = ben.dependency("load-start", "click")
    for reference in (annas.id, str(annas.path), str(Path("/etc")), "hub:org/model@main"):
        said = str(ben.fire(load, [reference])["output"])
        assert "not yours to load" in said or "not on this lab" in said, said


def test_searches_are_as_usual_for_who_owns_them(annas: Run) -> None:
    assert annas.config() == SearchConfig.create(pattern="6:12", steps=4000)
