"""Runs, a plan and an archive that an earlier version wrote are listed, opened, replayed, imported and resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.live import Payload
from app.views import compare, finetune, search
from tinylab.cli import main
from tinylab.jobs.execute import execute
from tinylab.launch.queue import place_of, queued_runs
from tinylab.pruning.plan import DepthPlan
from tinylab.reports.readable import check_readable
from tinylab.reports.sections import section_of
from tinylab.runs.about import about
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.notebook import notebook_of
from tinylab.runs.owner import owner_of
from tinylab.runs.replay import replay_steps, run_at
from tinylab.runs.run import Run
from tinylab.runs.store import damaged_runs, find_plan, find_run, list_runs

WRITTEN = Path(__file__).parent / "earlier_version"
FOLDER = "/earlier"  # stands in the files for the folder that held them
VIEWS: dict[str, Callable[[Run], Payload]] = {
    "search-finished": search.view,
    "search-stopped": search.view,
    "finetune-finished": finetune.view,
    "compare-finished": compare.view,
}
STEPS = {
    "search-finished": [1, *range(2, 25, 2)],
    "search-stopped": [1, 2, 4, 6, 8, 9],
    "finetune-finished": [0, 1, *range(2, 13, 2)],
    "compare-finished": [1, 2, 3, 4, 5, 6],
}
every_run = pytest.mark.parametrize("name", VIEWS)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, runs: Path) -> Path:
    """A copy of everything, with paths as if it had been written there."""
    shutil.copytree(WRITTEN, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.rglob("*.json"):
        file.write_text(file.read_text().replace(f'"{FOLDER}/', f'"{tmp_path}/'))
    for run in runs.iterdir():
        for empty in ("artifacts", "checkpoints"):  # git keeps no empty folders
            (run / empty).mkdir(exist_ok=True)
    return tmp_path


def curves(run: Run) -> dict[str, list[tuple[int, float]]]:
    reader = MetricsReader(run.metrics_path)
    return {name: reader.scalars(name) for name in reader.names()}


def test_all_are_listed() -> None:
    assert damaged_runs() == []
    assert {run.id: run.status().state for run in list_runs()} == {
        **{"search-finished": "finished", "finetune-finished": "finished", "compare-finished": "finished"},
        **{"search-stopped": "stopped", "search-queued": "queued"},
    }
    assert about(find_run("search-finished")).name == "A search of an earlier version"
    assert find_run("search-stopped").status().message == "stopped at step 9 of 24"


@every_run
def test_a_report_and_a_page_show_it(name: str) -> None:
    run = find_run(name)
    check_readable(run)
    section, shown = section_of(run), VIEWS[name](run)
    assert section.title and section.plots
    assert len(json.dumps(shown, default=str)) > 1000
    assert notebook_of([run.config()], homes=[run.path]).count("start_run(config)") == 1


@every_run
def test_it_is_replayed_step_by_step(name: str) -> None:
    run = find_run(name)
    steps = replay_steps(run)
    assert steps == STEPS[name]
    for step in steps:
        then = run_at(run, step, steps[-1])
        assert VIEWS[name](then)
        assert (then is run) == (step == steps[-1])
    if name == "finetune-finished":
        frames = [[int(picture.stem) for picture in run_at(run, step, 12).snapshots()] for step in (0, 6, 12)]
        assert frames == [[0], [0, 4], [0, 4, 8, 12]]
    if name == "compare-finished":
        assert [row["method"] for row in run_at(run, 1, 6).result()["rows"]] == [run.result()["rows"][0]["method"]]


def test_a_plan_is_what_a_recovery_and_a_comparison_start_from(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = DepthPlan.load(home / "plan.json")
    assert plan.kept == {"blocks": (1, 3)} and plan == find_plan("search-finished")
    short = ["--batch-size", "4", "--threads", "1", "--device", "cpu", "--quiet", "--json"]
    recovery = ["finetune", "--plan", str(home / "plan.json"), "--steps", "2", "--scored-samples", "0", "--warmup", "0"]
    assert main([*recovery, *short]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == {"blocks": [1, 3]}
    comparison = ["compare", "--model", str(home / "tiny"), "--plans", "search-finished", "--methods", "influence"]
    assert main([*comparison, "--steps", "0", "--samples", "20", *short]) == 0
    rows = {row["method"]: row["kept"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["learned"] == {"blocks": [1, 3]}


def test_an_archive_is_imported(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["unpack", str(home / "search-finished.zip"), "--json"]) == 0
    imported, original = Run.open(Path(json.loads(capsys.readouterr().out)["run"])), find_run("search-finished")
    assert imported.id == "search-finished-2"
    assert imported.result() == original.result() and curves(imported) == curves(original)
    assert about(imported) == about(original) and replay_steps(imported) == replay_steps(original)


def test_a_stopped_search_goes_on_to_where_one_came_that_never_stopped() -> None:
    stopped, whole = find_run("search-stopped"), find_run("search-finished")
    assert main(["resume", "search-stopped", "--quiet"]) == 0
    assert stopped.status().state == "finished"
    assert stopped.result()["kept"] == whole.result()["kept"] == {"blocks": [1, 3]}
    assert find_plan("search-stopped").kept == find_plan("search-finished").kept
    found, wanted = curves(stopped), curves(whole)
    for name in ("loss", "tau"):
        assert dict(found[name]) == pytest.approx(dict(wanted[name]), rel=1e-3)


def test_a_queued_run_keeps_its_place_and_its_owner_and_can_begin() -> None:
    run = find_run("search-queued")
    place = place_of(run)
    assert [one.id for one in queued_runs()] == [run.id] and place is not None and place.position == 1
    assert owner_of(run) == "somebody"
    assert len(execute(run, quiet=True)["kept"]["blocks"]) == 2
    assert run.status().state == "finished"
