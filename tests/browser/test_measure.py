"""The Compare and the Measure tab in a real browser: sorting, a baseline, export; scores and costs of all families."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from lab_page import LabPage

from tinylab.config import CompareConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.reports.tables import comparison_table, cost_table, score_table
from tinylab.runs.run import Run

BASELINE = "Random"


@pytest.fixture(scope="module")
def compared(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished comparison on a tiny model, made without the browser."""
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=6, num_heads=2), folder, card="")
    methods = ("influence", "random", "first", "even")
    config = CompareConfig.create(model=str(folder), methods=methods, steps=2, batch_size=8, samples=8, threads=1)
    run = start_run(config, server.runs / "compare-made-before")
    execute(run, quiet=True)
    return run


def rows(lab: LabPage, kind: str, slot: str) -> list[str]:
    """What the rows of a table are called, from top to bottom."""
    heads = lab.page.locator(f"#{kind}-live [data-slot={slot}] tbody th")
    return heads.evaluate_all("(cells) => cells.map((cell) => cell.dataset.value)")


def saved(lab: LabPage, place: str) -> Path:
    """Press a button below a table or a figure; the file that the browser saves."""
    with lab.page.expect_download() as download:
        lab.page.locator(place).click()
    return Path(download.value.path()).rename(Path(download.value.path()).with_name(download.value.suggested_filename))


def test_comparison_is_sorted_by_click_and_key_and_set_against_a_row(lab: LabPage, compared: Run) -> None:
    table = comparison_table(compared)
    lab.open(f"?run={compared.id}")
    lab.wait("document.querySelector('#compare-live .tl-sort')")
    assert rows(lab, "compare", "table") == table.labels
    title = lab.page.locator("#compare-live th[data-column=loss_finetuned]")
    title.get_by_role("button").click()
    assert title.get_attribute("aria-sort") == "ascending"
    assert rows(lab, "compare", "table") == table.sorted_by("loss_finetuned").labels

    result = compared.result()
    compared.write_result(result | {"rows": result["rows"][:-1]})  # news: the table is written again, the order stays
    lab.wait("document.querySelectorAll('#compare-live tbody tr').length === 4")
    assert rows(lab, "compare", "table") == comparison_table(compared).sorted_by("loss_finetuned").labels
    compared.write_result(result)
    lab.wait("document.querySelectorAll('#compare-live tbody tr').length === 5")
    title.get_by_role("button").press("Enter")
    assert title.get_attribute("aria-sort") == "descending"
    assert rows(lab, "compare", "table") == table.sorted_by("loss_finetuned", descending=True).labels

    lab.pick("compare-beside", BASELINE)
    lab.wait("document.querySelector('#compare-live tr.pinned')")
    order = [label for label in table.sorted_by("loss_finetuned", descending=True).labels if label != BASELINE]
    assert rows(lab, "compare", "table") == [BASELINE, *order]
    assert lab.page.locator("#compare-live .tl-against").count() > 3
    assert f"baseline={BASELINE}" in lab.page.url
    lab.page.reload()
    lab.wait("document.querySelector('#compare-live tr.pinned')")
    assert rows(lab, "compare", "table")[0] == BASELINE
    assert lab.page.locator("#compare-beside input").input_value() == BASELINE


def test_table_and_figures_are_saved_from_the_page(lab: LabPage, compared: Run) -> None:
    lab.open(f"?run={compared.id}")
    lab.wait("document.querySelector('#compare-live [data-slot=losses] .tl-save')")
    table = saved(lab, "#compare-live [data-slot=table] .tl-save a")
    assert table.name == f"tinylab-{compared.id}-comparison.csv"
    assert table.read_text() == comparison_table(compared).to_csv()
    figure = "#compare-live [data-slot=losses] .tl-save"
    picture = saved(lab, f"{figure} button:has-text('PNG')")
    assert picture.name == f"tinylab-{compared.id}-losses.png"
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    drawing = saved(lab, f"{figure} button:has-text('SVG')").read_text()
    assert "<svg" in drawing and "Loss right after the cut" in drawing
    assert "rgb(255, 255, 255)" in drawing or "white" in drawing  # dark on white, whatever the page is
    assert not re.findall(r"(?:href|src)=[\"']https?://", drawing)


def score(lab: LabPage, server: Any) -> Run:
    """Score few samples of the loaded model in few steps."""
    lab.open_tab("evaluate")
    lab.slide("evaluate-steps", "2")
    lab.fill("evaluate-count", "40")
    lab.fill_more("evaluate", "Resamples", "0")
    lab.page.locator("#evaluate-more").get_by_label("FID", exact=True).check()
    run = Run.open(server.runs / lab.start("evaluate"))
    lab.wait_for_state("evaluate", "finished")
    lab.wait("document.querySelector('#evaluate-live [data-slot=score-0]').data?.length")
    return run


def measure(lab: LabPage, server: Any) -> Run:
    """Measure the loaded model beside every second of its blocks, in few steps."""
    lab.open_tab("cost")
    lab.fill("cost-batches", "2")
    lab.fill("cost-steps", "2")
    lab.fill_more("cost", "Rounds", "1")
    run = Run.open(server.runs / lab.start("cost"))
    lab.wait_for_state("cost", "finished")
    lab.wait("document.querySelector('#cost-live [data-slot=plot-1]').data?.length")
    return run


def test_quality_and_cost_are_measured_and_found_again(lab: LabPage, server: Any) -> None:
    lab.open()
    scored = score(lab, server)
    labels = score_table([scored.result()]).labels
    assert rows(lab, "evaluate", "scores") == labels == ["digits-dit", "Real against real"]
    shown = lab.slot("evaluate", "scores")
    for words in ("40 samples", "2 steps", "guidance 1.5", "seed 0", "digit-reader", "biased upwards"):
        assert words in shown
    assert lab.page.locator("#evaluate-live [data-slot=samples] img").count() == 1
    assert "tab=measure" in lab.page.url

    measured = measure(lab, server)
    assert rows(lab, "cost", "times") == cost_table(measured).labels
    assert re.search(r"limit 2\.00×; blocks take \d+\.\d% of a step", lab.slot("cost", "gap"))
    assert "part=cost" in lab.page.url and f"run={measured.id}" in lab.page.url

    lab.page.set_viewport_size({"width": 390, "height": 800})
    lab.page.reload()
    lab.wait_for_run("cost", measured.id)
    lab.wait("document.querySelector('#cost-live .tl-gap')?.clientWidth > 0")
    assert lab.page.get_by_role("tab", name="Cost", exact=True).first.get_attribute("aria-selected") == "true"
    assert lab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    lab.open_tab("evaluate")
    lab.wait_for_run("evaluate", scored.id)
    lab.wait("document.querySelector('#evaluate-live [data-slot=scores] .tl-sort')?.clientWidth > 0")
    assert lab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("model", "sampler"), [("digits-sit", "euler"), ("digits-mar", "masked")])
def test_other_families_are_measured_in_the_same_way(lab: LabPage, server: Any, model: str, sampler: str) -> None:
    lab.open(f"?model={model}&tab=measure")
    result = score(lab, server).result()
    assert [(row["label"], row["setting"]["sampler"]) for row in result["rows"]] == [(model, sampler)]
    result = measure(lab, server).result()
    assert lab.page.locator("#cost-caches").count() == (model == "digits-sit")  # a MAR can keep nothing over steps
    assert result["sampling"]["sampler"] == sampler
    assert [row["limit"] for row in result["rows"]] == [1.0, 2.0]
