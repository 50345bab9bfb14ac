"""Runs are watched again in a real browser: played, held, scrubbed, by mouse and by keyboard, without a flicker."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from lab_page import LabPage
from playwright.sync_api import BrowserContext

from tinylab.config import SearchConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.runs.metrics_db import MetricsWriter
from tinylab.runs.run import Run, own_process
from tinylab.training.recorder import StepRecord

SEARCH = "recorded-search-digits-dit"
BAR = "#search-live .tl-replay"
SLIDER = f"{BAR} input[type=range]"
COLUMNS = "it.data[0].z[0].length"
_HEATMAP = "document.querySelector('#search-live [data-slot=heatmap]')"


@pytest.fixture(scope="module")
def own_run(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search of one's own, finished."""
    folder = tmp_path_factory.mktemp("small")
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=4, num_heads=2), folder, card="")
    config = SearchConfig.create(model=str(folder), pattern="1:2", steps=12, batch_size=4, log_every=1, threads=1)
    run = start_run(config, server.runs / "search-of-my-own")
    execute(run, quiet=True)
    return run


@pytest.fixture
def lab(shared_lab: LabPage) -> LabPage:
    """The lab in a page that the tests share."""
    return shared_lab


@pytest.fixture
def calm_lab(new_context: Callable[..., BrowserContext], server: Any) -> LabPage:
    """The lab for somebody who asked for reduced motion."""
    return LabPage(new_context(reduced_motion="reduce").new_page(), server.url)


def open_search(lab: LabPage, query: str = "") -> None:
    lab.open(f"?tab=search&run={SEARCH}{query}")
    lab.page.wait_for_selector(BAR, state="visible")


def seek(lab: LabPage, step: int) -> None:
    """Move the slider to a step of the recorded search, which has every third; open it unless it is shown."""
    if not lab.page.url.startswith(lab.url) or lab.shown("search") != SEARCH:
        open_search(lab)
    lab.page.locator(SLIDER).fill(str(step // 3))
    wait_for_step(lab, step)


def shown_steps(lab: LabPage) -> list[int]:
    return lab.on_heatmap("[...it.data[0].x]")


def wait_for_step(lab: LabPage, step: int) -> None:
    """Wait until bar and chart both show a step."""
    lab.wait(f"(step) => {_HEATMAP}?.data?.[0].x.at(-1) === step", step)
    assert lab.page.locator(f"{BAR} output").inner_text() == f"step {step} of 250"


def charts(lab: LabPage, kind: str = "search") -> dict[str, Any]:
    """Everything that the charts of a panel draw, and the text beside them."""
    found = f"""[...document.querySelectorAll('#{kind}-live .tl-slot')].filter((slot) => !slot.hidden).map((slot) =>
      [slot.dataset.slot, slot.data ? slot.data.map(({{x, y, z, text}}) => ({{x, y, z, text}})) : slot.innerText])"""
    return dict(json.loads(lab.page.evaluate(f"JSON.stringify({found})")))


def test_recorded_search_plays_column_by_column_in_the_charts_that_stay(lab: LabPage) -> None:
    lab.open(f"?tab=search&run={SEARCH}&play=1")
    lab.page.wait_for_selector(f"{BAR}[data-playing]")
    assert "play=" not in lab.page.url
    lab.wait(f"{_HEATMAP}?.data?.[0].x.length > 1")
    first = lab.on_heatmap(COLUMNS)
    lab.on_heatmap("it.remembered = true")
    lab.wait(f"(first) => {_HEATMAP}.data[0].x.length > first + 3", first)
    zoomed = lab.zoom_into_heatmap()
    lab.wait(f"(first) => {_HEATMAP}.data[0].x.length > first + 9", first)
    assert lab.on_heatmap("it.remembered") is True
    assert lab.on_heatmap("it.layout.xaxis.range") == zoomed
    assert "Recorded" in lab.slot("search", "status")
    assert "so far" in lab.slot("search", "decision")


def test_it_holds_where_it_was_paused_and_goes_on_from_there(lab: LabPage) -> None:
    seek(lab, 60)
    lab.page.get_by_role("button", name="Play").click()
    lab.wait(f"{_HEATMAP}.data[0].x.at(-1) > 66")
    lab.page.get_by_role("button", name="Pause").click()
    held = shown_steps(lab)
    lab.page.evaluate("document.querySelector('#search-live .tl-live').dispatchEvent(new Event('tl-ask'))")
    lab.page.wait_for_timeout(1500)
    assert shown_steps(lab) == held
    assert f"step={held[-1]}" in lab.page.url
    lab.page.get_by_role("button", name="Play").click()
    lab.wait(f"(step) => {_HEATMAP}.data[0].x.at(-1) > step", held[-1])


def test_four_times_the_speed_is_faster(lab: LabPage) -> None:
    seek(lab, 1)
    # All moments are there before the clock starts, so that only the speed decides.
    lab.page.locator(SLIDER).focus()
    for _ in range(14):
        for _ in range(6):
            lab.page.keyboard.press("ArrowRight")
        lab.page.wait_for_timeout(100)
    lab.wait(f"{_HEATMAP}.data[0].x.length > 80")

    def moments_in(seconds: float, speed: str) -> int:
        lab.page.keyboard.press("Home")
        lab.page.get_by_label("Speed").select_option(speed)
        lab.page.locator(SLIDER).focus()
        lab.page.keyboard.press(" ")
        lab.page.wait_for_timeout(1000 * seconds)
        lab.page.keyboard.press(" ")
        return int(lab.page.locator(SLIDER).input_value())

    slow, fast = moments_in(1.5, "0.5"), moments_in(1.5, "4")
    assert 0 < slow < fast


def test_scrubbing_shows_every_place_and_the_end_is_the_finished_run(lab: LabPage) -> None:
    seek(lab, 3)
    lab.page.get_by_role("button", name="To the end").click()
    lab.wait("!location.search.includes('step=')")
    lab.wait(f"{_HEATMAP}?.data?.[0].x.length > 80")
    lab.page.wait_for_selector("#search-live [data-slot=result]", state="visible")
    assert lab.page.locator(f"{BAR} output").inner_text() == "step 250 of 250"
    whole = charts(lab)
    assert "step=" not in lab.page.url
    for place, step in ((40, 120), (1, 3), (82, 246)):
        lab.page.locator(SLIDER).fill(str(place))
        wait_for_step(lab, step)
        assert charts(lab) != whole
        assert "result" not in charts(lab)
    lab.wait("location.search.includes('step=246')")
    lab.page.get_by_role("button", name="To the end").click()
    lab.wait("!location.search.includes('step=')")
    lab.page.wait_for_selector("#search-live [data-slot=result]", state="visible")
    assert charts(lab) == whole


def test_keys_step_play_and_go_to_both_ends(lab: LabPage) -> None:
    seek(lab, 30)
    press = lab.page.keyboard.press
    lab.page.locator(SLIDER).focus()
    press("ArrowRight")
    wait_for_step(lab, 33)
    press("ArrowLeft")
    press("ArrowLeft")
    wait_for_step(lab, 27)
    assert lab.page.locator(SLIDER).get_attribute("aria-valuetext") == "step 27 of 250"
    lab.page.get_by_role("button", name="One step back").focus()
    press("ArrowRight")
    wait_for_step(lab, 30)
    press("Enter")
    wait_for_step(lab, 27)
    press("Home")
    wait_for_step(lab, 1)
    press("End")
    lab.page.wait_for_selector("#search-live [data-slot=result]", state="visible")
    lab.page.locator(SLIDER).focus()
    press("Home")
    press(" ")
    lab.wait(f"{_HEATMAP}.data[0].x.length > 3")
    press(" ")
    assert lab.page.get_by_role("button", name="Play").is_visible()


def test_address_leads_back_to_the_moment_and_another_run_forgets_it(lab: LabPage, own_run: Run) -> None:
    open_search(lab, "&step=90")
    wait_for_step(lab, 90)
    lab.page.get_by_role("button", name="Play").click()
    lab.wait("Number(new URL(location).searchParams.get('step')) > 93")
    lab.page.reload()
    lab.page.wait_for_selector(f"{BAR}", state="visible")
    step = int(lab.page.evaluate("new URL(location).searchParams.get('step')"))
    wait_for_step(lab, step)
    assert lab.page.get_by_role("button", name="Play").is_visible()  # it does not play by itself

    lab.open(f"?tab=search&run={own_run.id}&step=7")
    lab.page.wait_for_selector(BAR, state="visible")
    lab.wait(f"{_HEATMAP}?.data?.[0].x.at(-1) === 7")
    assert "Replay" in lab.slot("search", "status")
    lab.page.evaluate(f"tinylab.openRecording('search', '{SEARCH}')")
    lab.wait_for_run("search", SEARCH)
    lab.wait("!location.search.includes('step=7')")


def test_step_between_two_moments_or_no_number_shows_the_one_before_or_the_end(lab: LabPage) -> None:
    open_search(lab, "&step=31")
    wait_for_step(lab, 30)
    for odd in ("step=x", "step=-5", "step=1e99"):
        open_search(lab, f"&{odd}")
        wait_for_step(lab, 1 if odd == "step=-5" else 250)


def test_reduced_motion_plays_nothing_by_itself(calm_lab: LabPage) -> None:
    open_search(calm_lab, "&play=1")
    wait_for_step(calm_lab, 250)
    calm_lab.page.wait_for_timeout(1000)
    assert calm_lab.page.locator(f"{BAR}[data-playing]").count() == 0
    calm_lab.page.locator(SLIDER).fill("10")
    wait_for_step(calm_lab, 30)


def test_finetuning_and_comparison_are_watched_in_the_same_way(lab: LabPage) -> None:
    lab.open("?tab=finetune&run=recorded-finetune-digits-dit&step=500")
    lab.wait("document.querySelector('#finetune-live [data-slot=loss]')?.data?.[0].x.length > 9")
    ends = "Math.max(...document.querySelector('#finetune-live [data-slot=loss]').data.flatMap((one) => one.x))"
    assert lab.page.evaluate(ends) <= 500
    assert lab.page.locator("#finetune-live .tl-film img").count() == 6
    lab.open("?tab=compare&run=recorded-compare-digits-dit&step=3")
    lab.page.wait_for_selector("#compare-live .tl-replay", state="visible")
    lab.wait("document.querySelectorAll('#compare-live tbody tr').length === 4")
    assert lab.page.locator("#compare-live .tl-replay output").inner_text() == "training 3 of 20"
    lab.page.locator("#compare-live .tl-replay").get_by_role("button", name="To the end").click()
    lab.wait("document.querySelectorAll('#compare-live tbody tr').length === 11")


def test_run_at_work_has_no_bar_and_gets_one_when_it_is_over(lab: LabPage, server: Any, own_run: Run) -> None:
    run = Run.create(server.runs / "search-at-work", own_run.config())
    writer = MetricsWriter(run.metrics_path)
    vectors = own_run.metrics().last_vectors()
    scalars = own_run.metrics().last_scalars()
    for step in range(1, 7):
        writer.write(step, StepRecord(scalars, vectors))
    status = replace(run.stored_status(), state="running", step=6, steps=12, **own_process())
    run.write_status(status)
    lab.open(f"?tab=search&run={run.id}&step=3")
    lab.wait(f"{_HEATMAP}?.data?.[0].x.length === 6")
    assert not lab.page.locator(BAR).is_visible()
    writer.close()
    run.write_status(replace(status, state="stopped", pid=0))
    lab.page.wait_for_selector(BAR, state="visible")
    assert lab.page.locator(f"{BAR} output").inner_text() == "step 6 of 6"
    lab.page.locator(SLIDER).fill("1")
    lab.wait(f"{_HEATMAP}.data[0].x.length === 2")
    run.write_status(status)  # resumed elsewhere
    lab.page.evaluate("document.querySelector('#search-live .tl-live').dispatchEvent(new Event('tl-ask'))")
    lab.wait(f"{_HEATMAP}.data[0].x.length === 6")
    assert not lab.page.locator(BAR).is_visible()
    run.write_status(replace(status, state="stopped", pid=0))
