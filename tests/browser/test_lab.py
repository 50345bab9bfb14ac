"""From a model to pictures of its shallow descendant, in a real browser against the real app."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import psutil
import pytest
from lab_page import LabPage, shorten

from tinylab.config import FinetuneConfig, SearchConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.runs.run import Run

ENDLESS = "9000"  # steps: more than any test waits for


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model so small that its jobs take seconds; its name wants to be more than text."""
    folder = tmp_path_factory.mktemp("small <img src=x>")
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=4, num_heads=2), folder, card="")
    return str(folder)


@pytest.fixture(scope="module")
def searched(server: Any, model: str) -> Run:
    """A finished search, made without the browser."""
    config = SearchConfig.create(model=model, pattern="2:4", steps=4, batch_size=8, threads=1)
    run = start_run(config, server.runs / "search-made-before")
    execute(run, quiet=True)
    return run


@pytest.fixture(scope="module")
def finetuned(server: Any, model: str) -> Run:
    """A finished fine-tuning, made without the browser."""
    config = FinetuneConfig.create(model=model, indices=(0, 3), steps=2, batch_size=8, snapshot_every=0, threads=1)
    run = start_run(config, server.runs / "finetune-made-before")
    execute(run, quiet=True)
    return run


def test_first_page_shows_the_model_and_loading_it_is_confirmed(lab: LabPage) -> None:
    lab.open()
    page = lab.page
    page.wait_for_selector("#load-card h3")
    assert page.locator("#load-card").inner_text().startswith("digits-dit")
    assert "927,752" in page.locator("#load-card").inner_text()
    page.click("#load-start")
    assert lab.message("load") == "Loaded digits-dit. Go on to Search."
    lab.wait("document.querySelector('#loaded-model').innerText === 'model digits-dit'")


def test_search_is_watched_and_found_again_and_stopped_and_resumed(lab: LabPage, server: Any) -> None:
    lab.open()
    lab.open_tab("search")
    lab.fill("search-steps", ENDLESS)
    lab.fill_more("search", "Images a step", "8")
    run = Run.open(server.runs / lab.start("search"))
    assert run.config() == SearchConfig.create(pattern="6:12", steps=int(ENDLESS), batch_size=8)

    first = lab.wait_for_columns(0)
    second = lab.wait_for_columns(len(first[0]))
    assert len(second) == 12
    assert {row[-1] for row in second} != {row[0] for row in second}
    assert "sure" in lab.slot("search", "decision")
    assert f"of {int(ENDLESS):,}" in lab.slot("search", "status")

    for format_ in ("PNG", "SVG"):
        assert lab.page.get_by_role("button", name=f"Save this figure as {format_}").count() == 3
    assert lab.page.get_by_role("button", name="Share").count() == 0  # it would send the chart to a server elsewhere

    lab.on_heatmap("it.remembered = true")
    zoomed = lab.zoom_into_heatmap()
    assert zoomed[1] < int(ENDLESS)
    lab.wait_for_columns(lab.on_heatmap("it.data[0].z[0].length"))
    assert lab.on_heatmap("it.remembered") is True
    assert lab.on_heatmap("it.layout.xaxis.range") == zoomed

    assert f"run={run.id}" in lab.page.url
    lab.page.reload()
    third = lab.wait_for_columns(len(second[0]))
    assert lab.shown("search") == run.id
    assert third[0][: len(second[0])] == second[0]

    process = psutil.Process(run.status().pid)
    lab.page.click("#search-stop:enabled")
    lab.wait_for_state("search", "stopped")
    assert "Stopped" in lab.slot("search", "status")
    psutil.wait_procs([process], timeout=60)
    assert not process.is_running()
    done = run.status().step

    shorten(run, done + 15)
    lab.page.click("#search-resume:enabled")
    lab.wait_for_state("search", "finished")
    assert run.status().step == done + 15
    lab.wait("document.querySelector('#search-live [data-slot=result] .tl-figure')")
    lab.page.wait_for_selector("#search-stop:disabled")


def test_comparison_sets_the_learned_choice_beside_the_baselines(lab: LabPage, model: str, searched: Run) -> None:
    lab.open()
    lab.load(model)
    assert "4" in lab.page.locator("#load-card").inner_text()
    lab.open_tab("compare")
    lab.wait("document.querySelector('#compare-plans .token')")
    lab.fill("compare-steps", "2")
    lab.start("compare")
    lab.wait("document.querySelector('#compare-live tbody tr:nth-child(2)')")
    assert "Full model" in lab.slot("compare", "table")
    lab.wait_for_state("compare", "finished")
    rows = lab.page.locator("#compare-live tbody th").all_inner_texts()
    assert rows == [
        "Learned (TinyFusion)",
        "Block influence (ShortGPT)",
        "BK-SDM oracle",
        "Random",
        "Full model",
    ]
    lab.wait("document.querySelector('#compare-live [data-slot=strips]').data?.[0].z.length === 4")


def test_finetuning_shows_its_loss_its_film_and_its_result(
    lab: LabPage, server: Any, model: str, searched: Run
) -> None:
    lab.open(f"?tab=finetune&model={quote(model)}")
    lab.wait("document.querySelector('#finetune-plan input').value.includes('Learned 2:4')")
    lab.fill("finetune-steps", "4")
    lab.fill_more("finetune", "Images a step", "16")
    lab.fill_more("finetune", "Snapshot every", "2")
    run = Run.open(server.runs / lab.start("finetune"))
    lab.wait_for_state("finetune", "finished")
    lab.wait("document.querySelector('#finetune-live [data-slot=loss]').data?.[0].y.length > 1")
    assert lab.page.locator("#finetune-live .tl-film img").count() == 3
    assert "fine-tuned" in lab.slot("finetune", "result")
    assert run.model_path.is_dir()


def test_samples_of_both_models_stand_side_by_side(lab: LabPage, model: str, finetuned: Run) -> None:
    lab.open(f"?tab=generate&model={quote(model)}")
    lab.wait("document.querySelector('#sample-against .token')")
    page = lab.page
    lab.slide("sample-steps", "2")
    lab.fill("sample-count", "4")
    lab.start("sample")
    lab.wait_for_state("sample", "finished")
    lab.wait("document.querySelectorAll('#sample-live .tl-columns img').length === 2")
    left, right = (page.locator("#sample-live .tl-columns img").nth(index).bounding_box() for index in (0, 1))
    assert left and right
    assert left["x"] + left["width"] <= right["x"]
    assert abs(left["y"] - right["y"]) < 2
    speeds = page.locator("#sample-live tbody td:nth-child(5)").all_inner_texts()
    assert speeds[0] == "1.00"
    assert len(speeds) == 2
