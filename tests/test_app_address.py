"""What an address may name, and what not: runs, tabs and models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from run_folders import make_run

from app.access.visitors import HOME, known_run
from app.page.context import Attachment, attach
from tinylab.config import FinetuneConfig, PruneConfig, SampleConfig, SearchConfig, config_types
from tinylab.errors import BadRequest
from tinylab.models.load import save_model
from tinylab.runs.run import own_process

NO_RUNS = {"search": "", "compare": "", "finetune": "", "sample": "", "evaluate": "", "cost": ""}
NO_IDS = ["", ".", "..", "../a", "a/b", "/etc/passwd", "a\0b", ".hidden", "unknown", None, 3, True, {"run": "a"}, ["a"]]


@pytest.mark.parametrize("run_id", NO_IDS)
def test_only_ids_of_runs_are_followed(runs: Path, run_id: Any) -> None:
    make_run(runs, SearchConfig.create(), "a")
    with pytest.raises(BadRequest):
        known_run(run_id)


def test_id_leads_to_its_run(runs: Path) -> None:
    make_run(runs, SearchConfig.create(), "a")
    assert known_run("a").path == runs / "a"


def test_new_page_without_runs_begins_with_the_lessons_and_the_built_in_model() -> None:
    assert attach({}, HOME) == Attachment("learn", NO_RUNS, "digits-dit")


@pytest.mark.parametrize("run_id", ["nonsense", "../../etc/passwd", "/etc", "."])
def test_address_with_an_unknown_run_is_like_none(run_id: str) -> None:
    assert attach({"run": run_id}, HOME) == attach({}, HOME)


def test_address_does_not_lead_out_of_the_runs_folder(runs: Path, tmp_path: Path) -> None:
    outside = make_run(tmp_path, SearchConfig.create(), "outside")
    assert attach({"run": str(outside.path)}, HOME) == attach({}, HOME)


@pytest.mark.parametrize(
    ("kind", "tab", "part"),
    [
        ("search", "search", "quality"),
        ("compare", "compare", "quality"),
        ("finetune", "finetune", "quality"),
        ("sample", "generate", "quality"),
        ("evaluate", "measure", "quality"),
        ("cost", "measure", "cost"),
    ],
)
def test_address_leads_to_the_tab_of_its_run_and_to_its_part(runs: Path, kind: str, tab: str, part: str) -> None:
    make_run(runs, config_types()[kind].create(), "mine", created=1.0)
    make_run(runs, config_types()[kind].create(), "newer", created=2.0)
    found = attach({"run": "mine"}, HOME)
    assert (found.tab, found.part, found.runs) == (tab, part, {**NO_RUNS, kind: "mine"})


def test_run_of_a_kind_without_a_tab_leaves_the_page_at_load(runs: Path) -> None:
    make_run(runs, PruneConfig.create(), "mine")
    assert attach({"run": "mine"}, HOME).tab == "load"


def test_page_shows_the_newest_run_of_each_kind(runs: Path) -> None:
    make_run(runs, SearchConfig.create(), "old", created=1.0)
    make_run(runs, SearchConfig.create(), "new", created=2.0)
    make_run(runs, SampleConfig.create(), "drawn", created=3.0)
    assert attach({}, HOME).runs == {**NO_RUNS, "search": "new", "sample": "drawn"}


def test_page_without_an_address_opens_at_the_run_at_work(runs: Path) -> None:
    make_run(runs, FinetuneConfig.create(), "busy", state="running", created=1.0, **own_process())
    make_run(runs, SearchConfig.create(), "done", created=2.0)
    found = attach({}, HOME)
    assert (found.tab, found.runs["finetune"]) == ("finetune", "busy")


def test_address_may_name_another_tab_than_that_of_its_run(runs: Path) -> None:
    make_run(runs, SearchConfig.create(), "mine")
    assert attach({"run": "mine", "tab": "compare"}, HOME).tab == "compare"
    assert attach({"run": "mine", "tab": "nonsense"}, HOME).tab == "search"
    assert attach({"run": "mine", "tab": "measure", "part": "cost"}, HOME).part == "cost"
    assert attach({"run": "mine", "part": "nonsense"}, HOME).part == "quality"


def test_model_comes_from_the_address_then_from_the_run_then_from_the_shelf(
    runs: Path, tmp_path: Path, tiny_dit: Any
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        save_model(tiny_dit, folder, card="")
    make_run(runs, SearchConfig.create(model=str(mine)), "run")
    assert attach({"run": "run"}, HOME).model == str(mine)
    assert attach({"run": "run", "model": str(other)}, HOME).model == str(other)
    shutil.rmtree(mine)
    assert attach({"run": "run", "model": "nonsense"}, HOME).model == "digits-dit"


def test_run_whose_config_is_damaged_does_not_keep_the_page_from_opening(runs: Path) -> None:
    run = make_run(runs, SearchConfig.create(), "mine")
    (run.path / "config.json").write_text("{")
    assert attach({"run": "mine"}, HOME) == attach({}, HOME)
