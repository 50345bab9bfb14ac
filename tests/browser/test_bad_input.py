"""What a person can get wrong in each tab: one clear sentence beside the control, and nothing is started."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from lab_page import LabPage, run_ids

from tinylab.config import SearchConfig
from tinylab.runs.run import Run


@pytest.fixture
def lab(shared_lab: LabPage, server: Any) -> Iterator[LabPage]:
    """The lab, open already maybe; no run may be there afterwards that was not there before."""
    before = run_ids(server.runs)
    shared_lab.page.set_viewport_size({"width": 1280, "height": 600})  # the message must come into view
    yield shared_lab
    assert run_ids(server.runs) == before


def complain(lab: LabPage, kind: str) -> str:
    """Press the start button; the complaint, which must be one line and no traceback."""
    place = f"#{kind}-message .tl-error"
    old = lab.page.locator(place).inner_text() if lab.page.locator(place).count() else ""
    lab.page.click(f"#{kind}-start:enabled")
    lab.wait(
        "([place, old]) => ![old, undefined].includes(document.querySelector(place)?.innerText)",
        [place, old],
    )
    said = lab.message(kind)
    lab.wait("(place) => document.querySelector(place).getBoundingClientRect().bottom <= window.innerHeight + 1", place)
    assert "\n" not in said
    assert "Traceback" not in said and "Error" not in said
    return said


def test_search_refuses_a_pattern_that_does_not_fit_and_steps_that_are_none(lab: LabPage) -> None:
    lab.show("search")
    box = lab.page.locator("#search-pattern input")
    box.fill("5:7")
    box.press("Enter")
    said = complain(lab, "search")
    assert "5:7 does not fit 12 blocks" in said
    assert "6:12" in said
    box.fill("6:12")
    box.press("Enter")
    lab.fill("search-steps", "0")
    said = complain(lab, "search")
    assert said.startswith("Steps")
    assert "1" in said
    lab.fill("search-steps", "")
    assert complain(lab, "search") == "Steps: give a number"
    lab.fill("search-steps", "10")
    lab.fill_more("search", "Images a step", "-3")
    assert complain(lab, "search").startswith("Images a step")


def test_compare_refuses_an_empty_list_and_negative_steps(lab: LabPage) -> None:
    lab.show("compare")
    lab.fill("compare-steps", "-1")
    assert complain(lab, "compare").startswith("Fine-tuning steps")
    lab.fill("compare-steps", "5")
    for token in lab.page.locator("#compare-plans .remove-all").all():
        token.click()
    for box in lab.page.locator("#compare-methods input").all():
        box.uncheck()
    assert "Nothing to compare" in complain(lab, "compare")


def test_finetune_refuses_blocks_that_do_not_exist(lab: LabPage) -> None:
    lab.show("finetune")
    lab.fill("finetune-indices", "0, 99")
    assert "99 is out of range" in complain(lab, "finetune")
    lab.fill("finetune-indices", "one, two")
    assert complain(lab, "finetune").startswith("Or by hand")  # a letter and a number would name a block
    lab.fill("finetune-indices", "0, 2")
    lab.fill("finetune-steps", "0")
    assert complain(lab, "finetune").startswith("Steps")


def test_generate_refuses_classes_that_do_not_exist(lab: LabPage) -> None:
    lab.show("sample")
    lab.fill("sample-classes", "3, 11")
    said = complain(lab, "sample")
    assert "11 does not exist" in said
    assert "0 to 9" in said
    lab.fill("sample-classes", "")
    lab.fill("sample-count", "0")
    assert complain(lab, "sample").startswith("Images")


def test_load_refuses_a_model_that_is_not_there_and_keeps_the_old_one(lab: LabPage) -> None:
    lab.show("load")
    box = lab.page.locator("#load-model input")
    box.fill("/no/such/<b>model</b>")
    box.press("Enter")
    lab.page.click("#load-start")
    said = lab.message("load")
    assert said.startswith("Unknown model '/no/such/<b>model</b>'")
    assert "digits-dit" in said
    assert lab.page.locator("#loaded-model").inner_text() == "model digits-dit"


def test_message_goes_away_when_another_run_is_shown(lab: LabPage, server: Any) -> None:
    ready = Run.create(server.runs / "search-waiting", SearchConfig.create())
    try:
        lab.open("?tab=search&run=nonsense")
        lab.fill("search-steps", "0")
        complain(lab, "search")
        lab.page.locator("#search-runs input").click()
        lab.page.get_by_role("option", name="waiting").click()
        lab.page.locator("#search-message").wait_for(state="detached")
        assert lab.shown("search") == ready.id
    finally:
        shutil.rmtree(ready.path)
