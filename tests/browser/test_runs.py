"""The Runs tab in a real browser: find, name, delete and bring back, hand on and take in, set beside each other."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from lab_page import LabPage, run_ids
from playwright.sync_api import Locator

from tinylab.config import SearchConfig
from tinylab.runs.about import about
from tinylab.runs.metrics_db import MetricsWriter
from tinylab.runs.run import Run, Status
from tinylab.training.recorder import StepRecord

BEGUN = 1_700_000_000.0
FIRST = "search-20260101-000001"


def make(runs: Path, number: int) -> Run:
    """A finished search, without the search."""
    run = Run.create(runs / f"search-20260101-{number:06d}", SearchConfig.create(seed=number, steps=10 + number))
    writer = MetricsWriter(run.metrics_path)
    writer.write(1, StepRecord({"loss": 1.0}, {"keep/blocks": [0.5] * 12, "kept/blocks": [1.0, 0.0] * 6}))
    writer.close()
    run.write_result({"kept": {"blocks": [0, 2, 4, 6, 8, 10]}, "loss_full": 0.5, "loss_pruned": 0.5 + number})
    run.write_status(Status("finished", step=10, steps=10, created=BEGUN + number, seconds=5))
    step = run.checkpoints / "step-000000001"
    step.mkdir()
    (step / "state.safetensors").write_bytes(bytes(5000))
    return run


@pytest.fixture(scope="module")
def server(server: Any) -> Any:
    """The app, with runs that no other file touches."""
    for number in range(1, 31):
        make(server.runs, number)
    return server


@pytest.fixture
def lab(shared_lab: LabPage) -> LabPage:
    """The Runs tab in a page that the tests share, with all runs in its list."""
    shared_lab.show("runs")
    shared_lab.page.fill("#runs-search", "")
    shared_lab.wait("document.querySelectorAll('#runs-rows li[data-run]').length >= 20")
    return shared_lab


def row(lab: LabPage, run_id: str) -> Locator:
    return lab.page.locator(f"#runs-list .tl-runs-rows li[data-run='{run_id}']")


def find(lab: LabPage, words: str, count: int) -> None:
    lab.page.fill("#runs-search", words)
    lab.page.locator("#runs-list .tl-runs-count").get_by_text(f"{count} run", exact=False).wait_for()
    lab.wait("(count) => document.querySelectorAll('#runs-rows li[data-run]').length === count", count)


def choose(lab: LabPage, run_id: str) -> None:
    row(lab, run_id).locator("button").click()
    lab.page.wait_for_selector(f"#runs-main article[data-run='{run_id}']")


def import_file(lab: LabPage, archive: Path) -> None:
    with lab.page.expect_file_chooser() as chooser:
        lab.page.click("#runs-upload")
    chooser.value.set_files(archive)


def test_run_is_found_named_and_found_by_its_name(lab: LabPage, server: Any) -> None:
    count = len(run_ids(server.runs))
    lab.page.locator(".tl-runs-count").get_by_text(f"{count} runs").wait_for()
    assert count >= 30 and lab.page.locator("#runs-rows li[data-run]").count() == 20
    lab.page.get_by_role("button", name="Older runs").click()
    row(lab, FIRST).wait_for()
    choose(lab, FIRST)
    card = lab.page.locator("#runs-main article")
    assert "It keeps 6 of 12 blocks: 0 2 4 6 8 10." in card.inner_text()
    assert "tinylab search --seed 1 --steps 11" in card.inner_text()
    assert lab.page.locator("#runs-save").is_disabled()
    lab.page.fill("#runs-name", "<b>For</b> the talk")
    lab.page.fill("#runs-notes", "shown to Anna\nand Ben")
    lab.page.click("#runs-save:enabled")
    lab.page.locator("#runs-told").get_by_text("Saved.").wait_for()
    assert about(Run(server.runs / FIRST)).notes == "shown to Anna\nand Ben"
    find(lab, "anna talk", 1)
    assert row(lab, FIRST).locator(".tl-runs-title").inner_text() == "<b>For</b> the talk"
    find(lab, "no run has this", 0)
    assert "No run has these words" in lab.page.locator("#runs-list").inner_text()

    lab.page.reload()  # the address names the run
    lab.wait("window.tinylab?.ready")
    lab.page.wait_for_selector(f"#runs-main article[data-run='{FIRST}']")
    assert lab.page.input_value("#runs-name") == "<b>For</b> the talk"


def test_recorded_runs_stand_below_ones_own_and_cannot_be_changed(lab: LabPage) -> None:
    shelf, run_id = lab.page.locator("#runs-list .tl-runs-recorded"), "recorded-sample-digits-dit"
    assert not shelf.locator("li").first.is_visible()  # there are runs of one's own
    shelf.locator("summary").click()
    assert shelf.locator("li .tl-badge").all_inner_texts() == ["Recorded"] * shelf.locator("li").count()
    choose(lab, run_id)
    assert lab.page.locator("#runs-delete, #runs-name").count() == 0
    assert "fine-tuned 1,500 steps" in lab.page.locator("#runs-main").inner_text()
    lab.page.click("#runs-open")
    lab.page.wait_for_selector("#sample-live .tl-columns img")
    assert "run=recorded-sample-digits-dit" in lab.page.url
    assert lab.page.locator("#sample-live .tl-columns img").count() == 3
    assert not lab.page.locator("#sample-live .tl-replay").is_visible()  # it is shown as it ended


def test_what_is_typed_stays_while_the_list_brings_news(lab: LabPage, server: Any) -> None:
    run = make(server.runs, 31)
    find(lab, run.id, 1)
    choose(lab, run.id)
    lab.page.fill("#runs-notes", "half a sen")
    run.write_status(Status("failed", message="all is lost", created=BEGUN + 31))
    row(lab, run.id).locator(".tl-badge").get_by_text("Failed").wait_for()  # news came
    assert lab.page.input_value("#runs-notes") == "half a sen"
    lab.page.click("#runs-save")
    lab.page.locator("#runs-main article").get_by_text("all is lost").wait_for()


def test_run_is_deleted_and_brought_back_at_once_and_later(lab: LabPage, server: Any) -> None:
    run = make(server.runs, 32)
    find(lab, run.id, 1)
    choose(lab, run.id)
    lab.page.click("#runs-delete")
    lab.page.locator("#runs-told").get_by_text("Deleted").wait_for()
    assert not run.path.exists()
    find(lab, run.id, 0)
    assert lab.page.evaluate("document.activeElement.id") == "runs-search"
    lab.page.click("#runs-undo")
    lab.page.locator("#runs-told").get_by_text("It is back.").wait_for()
    assert run.path.exists() and lab.page.locator(f"#runs-main article[data-run='{run.id}']").count() == 1

    lab.page.click("#runs-delete")
    lab.page.locator("#runs-told").get_by_text("Deleted").wait_for()
    lab.page.reload()
    lab.wait("window.tinylab?.ready")
    lab.page.locator("#runs-disk summary").click()
    deleted = lab.page.locator(f"#runs-disk li[data-run='{run.id}']")
    deleted.get_by_role("button").click()
    lab.page.wait_for_selector(f"#runs-main article[data-run='{run.id}']")
    assert run.path.exists()


def test_checkpoints_are_dropped_and_the_room_is_told(lab: LabPage, server: Any) -> None:
    run = make(server.runs, 33)
    find(lab, run.id, 1)
    choose(lab, run.id)
    lab.page.click("#runs-thin")
    lab.page.locator("#runs-told").get_by_text("Freed 5 kB").wait_for()
    assert not list(run.checkpoints.iterdir())
    assert lab.page.locator("#runs-thin").count() == 0
    assert "free" in lab.page.locator("#runs-disk").inner_text()


def test_run_is_downloaded_and_taken_in_again(lab: LabPage, server: Any, tmp_path: Path) -> None:
    run = make(server.runs, 34)
    find(lab, run.id, 1)
    choose(lab, run.id)
    with lab.page.expect_download() as download:
        lab.page.click("#runs-archive")
    assert download.value.suggested_filename == f"tinylab-{run.id}.zip"
    archive = tmp_path / "handed-on.zip"
    download.value.save_as(archive)
    assert zipfile.ZipFile(archive).testzip() is None
    with lab.page.expect_download() as download:
        lab.page.click("#runs-notebook")
    notebook = json.loads(Path(download.value.path()).read_text())
    assert notebook["nbformat"] == 4 and download.value.suggested_filename == f"tinylab-{run.id}.ipynb"

    import_file(lab, archive)
    assert f"Imported {run.id}-2." in lab.message("runs")
    lab.page.wait_for_selector(f"#runs-main article[data-run='{run.id}-2']")
    row(lab, f"{run.id}-2").wait_for()
    assert Run(server.runs / f"{run.id}-2").result() == run.result()
    assert lab.page.input_value("#runs-search") == ""


def test_bad_archive_is_refused_in_one_line(lab: LabPage, server: Any, tmp_path: Path) -> None:
    before = run_ids(server.runs)
    bad = tmp_path / "evil.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../../evil.json", "{}")
    import_file(lab, bad)
    refusal = lab.page.locator("#runs-message .tl-error")
    refusal.wait_for()
    said = refusal.inner_text()
    assert "leads somewhere else; nothing was imported" in said and "\n" not in said
    assert run_ids(server.runs) == before


def test_runs_are_set_beside_each_other_with_the_keyboard(lab: LabPage, server: Any) -> None:
    page = lab.page
    find(lab, "search-20260101-00002", 10)  # numbers 20 to 29, which no other test copies
    page.focus("#runs-search")
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.type") != "checkbox":
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    picked = page.locator(".tl-runs-rows input:checked")
    assert picked.count() == 2
    page.focus("#runs-compare")
    page.keyboard.press("Enter")
    table = page.locator("#runs-main .tl-runs-together table")
    table.wait_for()
    shown = table.inner_text()
    assert "Steps" in shown and "Seed" in shown and "Held-out loss after the cut" in shown
    assert "Learning rate" not in shown  # it is the same in both
    with page.expect_download() as download:
        page.click("#runs-notebook-all")
    assert Path(download.value.path()).read_text().count("start_run(config)") == 2
    page.get_by_role("button", name="Back").click()
    page.focus("#runs-rows li:nth-child(3) button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#runs-main article[data-run]")


def test_run_is_opened_in_the_tab_of_its_kind(lab: LabPage) -> None:
    find(lab, FIRST, 1)
    choose(lab, FIRST)
    lab.page.click("#runs-open")
    lab.wait("window.tinylab?.ready")
    lab.wait_for_run("search", FIRST)
    assert lab.page.get_by_role("tab", name="Search", exact=True).get_attribute("aria-selected") == "true"


@pytest.mark.parametrize(("width", "view"), [(390, "light"), (800, "projector")])
def test_tab_fits_the_screen(shared_lab: LabPage, server: Any, width: int, view: str) -> None:
    page = shared_lab.page
    page.set_viewport_size({"width": width, "height": 800})
    shared_lab.open(f"?tab=runs&view={view}")
    choose(shared_lab, page.locator("#runs-rows li[data-run]").first.get_attribute("data-run") or "")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.set_viewport_size({"width": 1280, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
