"""The Fine-tune tab in a real browser: recipes, curves while they grow, stop and resume, two runs in one picture."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from lab_page import LabPage, shorten

from tinylab.jobs.execute import execute, start_run
from tinylab.presets import finetune_config
from tinylab.runs.run import Run

BLOCKS = "0, 2, 4, 7, 9, 11"
ENDLESS = "9000"  # steps: more than any test waits for
_SLOT = "document.querySelector(`#finetune-live [data-slot=${name}]`)"


@pytest.fixture(scope="module")
def plain(server: Any) -> Run:
    """A finished plain fine-tuning of the built-in model, made without the browser."""
    common: dict[str, Any] = {"batch_size": 4, "log_every": 1, "snapshot_every": 2, "scored_samples": 20, "threads": 1}
    run = start_run(finetune_config("plain", indices=(0, 2, 4, 7, 9, 11), steps=3, **common), server.runs / "plain-one")
    execute(run, quiet=True)
    return run


@pytest.fixture
def waiting(server: Any, plain: Run) -> Iterator[Run]:
    """A run that has not begun."""
    run = Run.create(server.runs / "finetune-not-begun", plain.config())
    yield run
    shutil.rmtree(run.path)


def choose_published(lab: LabPage) -> None:
    """Pick the published recipe and wait until the form is filled."""
    lab.page.locator("#finetune-recipe").get_by_label("Published masked KD", exact=True).check()
    lab.wait("document.querySelector('#finetune-steps input').value === '100000'")


def wait_for_points(lab: LabPage, slot: str, more_than: int) -> int:
    """Wait until the first line of a picture has more points than that; their number."""
    points = f"{_SLOT.replace('${name}', slot)}?.data?.[0]?.x?.length"
    lab.wait(f"(count) => {points} > count", more_than)
    return lab.page.evaluate(points)


def names(lab: LabPage, slot: str) -> list[str]:
    """What the legend of a picture names."""
    shown = f"{_SLOT.replace('${name}', slot)}.data.filter((trace) => trace.showlegend !== false)"
    return lab.page.evaluate(f"{shown}.map((trace) => trace.name)")


def test_recipe_fills_the_form_and_only_what_counts_is_shown(lab: LabPage) -> None:
    lab.open("?tab=finetune")
    choose_published(lab)
    lab.page.locator("#finetune-more button").first.click()
    lab.page.wait_for_selector("#finetune-mask-sigma", state="visible")
    assert lab.page.locator("#finetune-mask-sigma input").first.input_value() == "2"
    assert lab.page.locator("#finetune-lr input").first.input_value() == "0.0002"
    assert lab.page.locator("#finetune-warm-steps").count() == 0
    lab.page.locator("#finetune-warm-start").get_by_label("block by block").check()
    lab.page.wait_for_selector("#finetune-warm-steps", state="visible")
    lab.pick("finetune-loss", "Logit KD")
    lab.page.wait_for_selector("#finetune-mask-sigma", state="detached")
    assert lab.page.locator("#finetune-alpha").is_visible()
    lab.pick("finetune-loss", "Plain")
    lab.page.wait_for_selector("#finetune-alpha", state="detached")


def test_masked_recovery_is_watched_stopped_resumed_and_compared(lab: LabPage, server: Any, plain: Run) -> None:
    lab.open("?tab=finetune&run=nonsense")
    choose_published(lab)
    lab.fill("finetune-indices", BLOCKS)
    lab.fill("finetune-steps", ENDLESS)
    for label, value in (
        ("Images a step", "4"),
        ("Mask width", "2.5"),
        ("Snapshot every", "2"),
        ("Scored samples", "20"),
        ("Record every", "1"),
    ):
        lab.fill_more("finetune", label, value)
    run = Run.open(server.runs / lab.start("finetune"))
    asked: dict[str, Any] = {"indices": (0, 2, 4, 7, 9, 11), "steps": int(ENDLESS), "batch_size": 4, "mask_sigma": 2.5}
    asked |= {"snapshot_every": 2, "scored_samples": 20, "log_every": 1, "model": "digits-dit"}
    assert run.config() == finetune_config("published", **asked)

    first = wait_for_points(lab, "loss", 1)
    assert wait_for_points(lab, "loss", first) > first
    assert wait_for_points(lab, "distance", 1) > 1
    assert names(lab, "loss") == ["loss", "images", "variance", "teacher's output", "hidden states"]
    for slot in ("read", "rate", "norm"):
        wait_for_points(lab, slot, 1)

    lab.page.click("#finetune-stop:enabled")
    lab.wait_for_state("finetune", "stopped")
    done, pictures = run.status().step, lab.page.locator("#finetune-live .tl-film img").count()
    shorten(run, done + 4)
    lab.page.click("#finetune-resume:enabled")
    lab.wait_for_state("finetune", "finished")
    lab.wait(f"(last) => {_SLOT.replace('${name}', 'loss')}.data[0].x.at(-1) === last", done + 4)
    assert lab.page.locator("#finetune-live .tl-film img").count() >= min(pictures, 8)
    assert f"{done + 4:,} steps" in lab.slot("finetune", "snapshots")
    assert "fine-tuned" in lab.slot("finetune", "result")

    lab.pick("finetune-beside", "Plain · 3 steps")
    lab.wait("document.querySelector('#finetune-live [data-slot=differences] table')")
    assert "Mask width" in lab.slot("finetune", "differences")
    lab.wait("document.querySelector('#finetune-live [data-slot=distance]').data.length === 2")
    assert names(lab, "distance") == ["Masked KD", "Plain"]
    assert f"beside={plain.id}" in lab.page.url

    lab.page.reload()
    lab.wait_for_run("finetune", run.id)
    lab.wait("document.querySelector('#finetune-live [data-slot=differences] table')")
    assert "Plain · 3 steps" in lab.page.locator("#finetune-beside input").input_value()

    lab.pick("finetune-beside", "nothing")
    lab.wait("document.querySelector('#finetune-live [data-slot=differences]').hidden")
    assert names(lab, "distance") == ["distance"]
    assert "beside" not in lab.page.url


def test_two_runs_fit_a_narrow_page(lab: LabPage, plain: Run, waiting: Run) -> None:
    lab.page.set_viewport_size({"width": 400, "height": 800})
    lab.open(f"?tab=finetune&run={plain.id}&beside={waiting.id}")
    lab.wait("document.querySelector('#finetune-live [data-slot=differences] table')")
    wait_for_points(lab, "norm", 1)
    assert lab.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    boxes = [lab.page.locator(f"#finetune-live [data-slot={slot}]").bounding_box() for slot in ("rate", "norm")]
    assert boxes[0] and boxes[1]
    assert boxes[0]["y"] + boxes[0]["height"] <= boxes[1]["y"]
