"""Several people at one lab: links between them, and strangers who cannot touch each other's runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from app_server import AppServer, running_app
from lab_page import LabPage
from playwright.sync_api import BrowserContext

from tinylab.config import SearchConfig
from tinylab.runs.run import Run

Visit = Callable[..., LabPage]


@pytest.fixture(scope="module")
def public_server(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServer]:
    """A public lab."""
    limits = {"TINYLAB_MAX_STEPS": "1000000", "TINYLAB_MAX_UPLOAD": "1"}
    with running_app(tmp_path_factory.mktemp("public"), TINYLAB_PUBLIC="1", **limits) as server:
        yield server


@pytest.fixture
def visit(new_context: Callable[..., BrowserContext]) -> Visit:
    """Lets somebody with a browser of their own come to a lab, by an address or a query."""

    def come(server: AppServer, query: str = "", **look: object) -> LabPage:
        lab = LabPage(new_context(**look).new_page(), server.url)
        lab.open(query.removeprefix(f"{server.url}/"))
        return lab

    return come


def start_endless_search(lab: LabPage, server: AppServer) -> Run:
    """Start a search that would take hours."""
    lab.open_tab("search")
    lab.fill("search-steps", "1000000")
    lab.fill_more("search", "Images a step", "4")
    return Run.open(server.runs / lab.start("search"))


def link_of(lab: LabPage) -> str:
    """The address that "Copy link" copies."""
    return lab.page.evaluate("tinylab.link()")


def test_a_link_shows_the_same_picture_in_a_second_browser(server: AppServer, visit: Visit) -> None:
    first = visit(server, "?run=recorded-search-digits-dit&step=100&view=projector,dark")
    first.wait("document.querySelector('#search-live [data-slot=heatmap]')?.data?.[0].z.length === 12")
    first.wait("!document.querySelector('#search-live .tl-replay')?.hidden")
    columns = first.on_heatmap("it.data[0].z[0].length")
    link = link_of(first)
    assert "key=" not in link  # nobody is a stranger at home
    second = visit(server, link)
    second.wait(
        "(columns) => document.querySelector('#search-live [data-slot=heatmap]')?.data?.[0].z[0].length === columns",
        columns,
    )
    assert second.shown("search") == "recorded-search-digits-dit"
    assert second.on_heatmap("it.data[0].z") == first.on_heatmap("it.data[0].z")
    assert (
        second.page.evaluate("[...document.body.classList].filter((c) => ['dark', 'tl-projector'].includes(c)).length")
        == 2
    )


def test_a_preset_in_the_address_fills_the_form(server: AppServer, visit: Visit) -> None:
    first = visit(server, "?tab=search")
    first.page.get_by_label("As published").click()
    first.wait("document.querySelector('#search-steps input').value === '10000'")
    second = visit(server, link_of(first))
    second.wait("document.querySelector('#search-steps input').value === '10000'")


def test_the_command_is_what_the_form_would_do(server: AppServer, visit: Visit) -> None:
    lab = visit(server, "?tab=search")
    lab.fill("search-steps", "77")
    lab.page.click("#search-command")
    code = lab.page.locator("#search-command-text code")
    code.wait_for(state="visible")
    assert code.inner_text() == "tinylab search --steps 77 --pattern 6:12"
    assert lab.page.locator("#search-command-text a[download$='.ipynb']").count() == 1


def test_strangers_neither_see_nor_stop_each_other_and_wait_in_line(public_server: AppServer, visit: Visit) -> None:
    anna, ben = visit(public_server, "?tab=search"), visit(public_server, "?tab=search")
    annas = start_endless_search(anna, public_server)
    anna.wait_for_state("search", "running")

    ben.open(f"?run={annas.id}&tab=search")
    assert ben.shown("search") == ""
    bens = start_endless_search(ben, public_server)
    ben.wait_for_state("search", "queued")
    ben.wait("document.querySelector('#search-live [data-slot=status]').innerText.includes('Place 1 in the queue')")
    ben.wait("document.querySelector('#line').innerText.includes('yours: place 1')")

    ben.open(link_of(anna).removeprefix(f"{public_server.url}/"))
    ben.wait_for_run("search", annas.id)
    ben.wait_for_state("search", "running")
    ben.page.wait_for_selector("#search-stop:disabled")
    ben.page.wait_for_selector("#search-resume:disabled")

    anna.page.click("#search-stop:enabled")
    anna.wait_for_state("search", "stopped")
    ben.open(f"?run={bens.id}")
    ben.wait_for_state("search", "running")
    ben.page.click("#search-stop:enabled")
    ben.wait_for_state("search", "stopped")
    assert (annas.status().state, bens.status().state) == ("stopped", "stopped")


def test_runs_are_found_again_by_the_browser_that_started_them(public_server: AppServer, visit: Visit) -> None:
    anna = visit(public_server, "?tab=search")
    anna.fill("search-steps", "2")
    run = Run.open(public_server.runs / anna.start("search"))
    assert isinstance(run.config(), SearchConfig)
    anna.wait_for_state("search", "finished")
    anna.open("?tab=search")
    anna.wait_for_run("search", run.id)
    assert visit(public_server, "?tab=search").shown("search") == ""


def test_a_file_that_is_no_model_is_refused_in_one_line(public_server: AppServer, visit: Visit) -> None:
    lab = visit(public_server, "?tab=load")
    bad = {"name": "bad.safetensors", "mimeType": "application/octet-stream", "buffer": b"junk" * 10}
    with lab.page.expect_file_chooser() as chooser:
        lab.page.click("#load-upload")
    chooser.value.set_files(bad)
    assert lab.message("load").startswith("Bad.safetensors is truncated")
