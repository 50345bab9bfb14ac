"""Recordings: those that ship show everything and name no place; how one is made, and read where nobody can write."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_folders import make_run

from app.access.visitors import known_run
from app.views import compare, finetune, generate, measure_cost, measure_quality, search
from tinylab.cli import main
from tinylab.config import CompareConfig, FinetuneConfig, SampleConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.models.catalog import built_in_models
from tinylab.paths import assets_folder
from tinylab.reports.reproduction import shared
from tinylab.runs.metrics_db import MetricsReader, MetricsWriter
from tinylab.runs.recordings import is_recording, record, recording, recordings, recordings_folder
from tinylab.runs.replay import replay_steps, run_at
from tinylab.runs.run import Run, own_process
from tinylab.training.recorder import StepRecord

VIEWS: dict[str, Any] = {
    **{"search": search, "compare": compare, "finetune": finetune},
    **{"sample": generate, "evaluate": measure_quality, "cost": measure_cost},
}
WATCHED = ("search", "compare", "finetune")  # the others are shown as they ended
IDS = {
    "recorded-compare-digits-dit": "compare",
    "recorded-cost-digits-dit": "cost",
    "recorded-evaluate-digits-dit": "evaluate",
    "recorded-finetune-digits-dit": "finetune",
    "recorded-sample-digits-dit": "sample",
    "recorded-search-digits-dit": "search",
    "recorded-search-digits-mar": "search",
    "recorded-search-digits-sit": "search",
}
LARGEST = 3 * 2**20  # bytes of all recordings
PLACE = re.compile(rb"/(?:home|root|tmp|work|usr|var|mnt|opt|Users)/|[A-Z]:\\\\")
every_recording = pytest.mark.parametrize("run_id", IDS)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_of(folder)}


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from strings_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings_in(one)
    elif isinstance(value, str):
        yield value


@pytest.fixture
def own_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of assets with the recordings that ship, to be changed."""
    folder = tmp_path / "assets"
    shutil.copytree(assets_folder() / "recordings", folder / "recordings")
    monkeypatch.setenv("TINYLAB_ASSETS", str(folder))
    return folder


def searched(runs: Path, run_id: str = "mine") -> Run:
    """A search as a job leaves it, without the job."""
    config = SearchConfig.create(model=str(runs / "model"), pattern="1:2")
    run = make_run(runs, config, run_id, step=2, steps=2, seconds=2, created=1.7e9, **own_process())
    writer = MetricsWriter(run.metrics_path)
    for step in (1, 2):
        vectors = {"keep/blocks": [0.5, 0.5], "decision/blocks": [0.0]}
        writer.write(step, StepRecord({"loss": 1 / step, "confidence/blocks/0": 0.5}, vectors))
    writer.close()
    run.write_result({"loss_full": 0.1, "loss_pruned": 0.2, "kept": {"blocks": [0]}, "model": str(runs / "model")})
    (run.path / "model").mkdir()
    (run.path / "model" / "weights.safetensors").write_bytes(b"0" * 100)
    (run.path / "log.txt").write_text(str(runs))
    return run


def test_every_family_has_a_search_and_there_is_one_of_all_else() -> None:
    assert {run.id: run.config().kind for run in recordings()} == IDS
    models = {getattr(run.config(), "model", None) for run in recordings("search")}
    assert models == set(built_in_models()) - {"digits-reader"}
    assert sum(path.stat().st_size for path in files_of(recordings_folder())) < LARGEST


@every_recording
def test_recording_is_found_by_its_id_and_is_a_finished_run_that_can_be_looked_at(run_id: str) -> None:
    run = known_run(run_id)
    assert is_recording(run) and run.status().state == "finished"
    watched = IDS[run_id] in WATCHED
    assert len(replay_steps(run)) > 15 if watched else replay_steps(run) == []
    view = VIEWS[IDS[run_id]]
    payload = view.view(run)
    sometimes = {"differences", "warm"}
    assert {*payload.html, *payload.figures} <= set(view.SLOTS)
    assert len({*payload.html, *payload.figures}) >= (len(set(view.SLOTS) - sometimes) if watched else 3)
    assert ">Recorded<" in payload.html["status"]


def test_samples_scores_and_costs_are_of_the_model_that_was_recorded_as_it_recovered() -> None:
    kinds = ("sample", "evaluate", "cost")
    shown = {kind: VIEWS[kind].view(known_run(f"recorded-{kind}-digits-dit")) for kind in kinds}
    tuned = "Learned 6:12, fine-tuned 1,500 steps by feature"
    assert f"<b>{tuned}</b>" in shown["sample"].html["samples"]
    assert "<b>Learned 6:12, cut only</b>" in shown["sample"].html["samples"]
    assert shown["sample"].html["samples"].count("<img") == shown["evaluate"].html["samples"].count("<img") == 3
    assert tuned in shown["evaluate"].html["samples"]
    assert "finetune-digits-dit" in shown["evaluate"].html["scores"]
    assert "finetune-digits-dit" in shown["cost"].html["gap"]
    assert shown["evaluate"].figures and shown["cost"].figures


@every_recording
def test_recording_names_no_place_and_no_process(run_id: str) -> None:
    run = known_run(run_id)
    for path in files_of(run.path):
        assert not PLACE.search(path.read_bytes()), path
        if path.suffix == ".json":
            assert not [text for text in strings_in(json.loads(path.read_text())) if Path(text).is_absolute()], path
    status = run.stored_status()
    assert (status.pid, status.process_start) == (0, 0.0)
    assert not {"model", "checkpoints", "log.txt", "lock"} & {path.name for path in run.path.rglob("*")}


def test_recordings_that_build_on_another_name_it() -> None:
    tuned, compared = known_run("recorded-finetune-digits-dit"), known_run("recorded-compare-digits-dit")
    config, comparison = tuned.config(), compared.config()
    assert isinstance(config, FinetuneConfig) and config.run == "recorded-search-digits-dit"
    assert isinstance(comparison, CompareConfig) and comparison.plans == ("recorded-search-digits-dit",)
    kept = known_run(str(config.run)).result()["kept"]
    assert tuned.result()["kept"] == kept == compared.result()["rows"][0]["kept"]


def test_comparison_has_many_methods_and_their_ranks_in_the_study() -> None:
    rows = known_run("recorded-compare-digits-dit").result()["rows"]
    assert len(rows) >= 8 and rows[0]["method"] == "learned"
    assert all(row["rank_pruned"] is not None and row["loss_finetuned"] is not None for row in rows)


@every_recording
def test_watching_a_recording_writes_nothing_and_needs_no_permission_to(
    run_id: str, own_assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = known_run(run_id)
    before = contents(run.path)
    for path in [run.path, *run.path.rglob("*")]:
        path.chmod(stat.S_IREAD | (stat.S_IEXEC if path.is_dir() else 0))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # also for root, who may write everywhere
    steps, view = replay_steps(run), VIEWS[IDS[run_id]].view
    assert view(run).html["status"]
    if steps:
        assert view(run) == view(run_at(run, steps[-1], steps[-1]))
        assert view(run_at(run, steps[0], steps[-1])).html["status"]
    assert contents(run.path) == before


def test_metrics_without_a_lock_only_where_no_writer_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MetricsWriter(tmp_path / "metrics.db")
    writer.write(1, StepRecord({"loss": 1.0}))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert MetricsReader(tmp_path / "metrics.db").scalars("loss") == [(1, 1.0)]  # still in the side file
    writer.close()
    assert MetricsReader(tmp_path / "metrics.db").scalars("loss") == [(1, 1.0)]


@pytest.mark.parametrize(
    "run_id", ["recorded-", "recorded-none", "recorded-../recorded-search-digits-dit", "recorded-a\0"]
)
def test_other_ids_lead_to_no_recording(run_id: str) -> None:
    assert recording(run_id) is None
    with pytest.raises(BadRequest):
        known_run(run_id)


def test_damaged_recording_is_not_offered(own_assets: Path) -> None:
    (own_assets / "recordings" / "recorded-search-digits-sit" / "config.json").write_text("{")
    assert {run.id for run in recordings()} == {*IDS} - {"recorded-search-digits-sit"}


def test_recorded_run_shows_the_same_and_nothing_of_where_it_was_made(
    own_assets: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = searched(runs)
    assert main(["record", "mine", "--as", "my-search"]) == 0
    made = known_run("recorded-my-search")
    assert f"recording: {made.path}" in capsys.readouterr().out
    assert replay_steps(made) == replay_steps(run) == [1, 2]
    assert search.view(made).figures["loss"]["data"] == search.view(run).figures["loss"]["data"]
    assert search.view(made).html["result"] == search.view(run).html["result"]
    assert {path.name for path in files_of(made.path)} == {
        "config.json",
        "status.json",
        "origin.json",
        "metrics.db",
        "result.json",
    }
    assert str(runs).encode() not in b"".join(contents(made.path).values())
    with sqlite3.connect(made.metrics_path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_samples_are_recorded_with_their_pictures(own_assets: Path, runs: Path) -> None:
    run = make_run(runs, SampleConfig.create(against=("mine",)), "drawn")
    run.write_result({"models": [{"model": "digits-dit", "png": "samples-0.png"}]})
    (run.artifacts / "samples-0.png").write_bytes(b"\x89PNG")
    (run.artifacts / "samples-0.npz").write_bytes(b"0" * 100)
    made = record(run, "drawn", shared)
    assert (made.artifacts / "samples-0.png").read_bytes() == b"\x89PNG"
    assert not (made.artifacts / "samples-0.npz").exists()
    assert made.result()["models"][0]["model"] == "digits-dit"


def test_what_builds_on_a_recorded_run_names_the_recording(own_assets: Path, runs: Path) -> None:
    base = searched(runs, "base")
    config = FinetuneConfig.create(run=str(base.path))
    tuned = make_run(runs, config, "tuned", step=2, steps=2)
    writer = MetricsWriter(tuned.metrics_path)
    for step in (1, 2):
        writer.write(step, StepRecord({"loss": 1 / step}))
    writer.close()
    record(base, "base", shared)
    made = record(tuned, "tuned", shared).config()
    assert isinstance(made, FinetuneConfig) and made.run == "recorded-base"


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", "a--b", "-a", "."])
def test_names_of_recordings_are_plain(own_assets: Path, runs: Path, name: str) -> None:
    with pytest.raises(BadRequest, match="is no name for a recording"):
        record(searched(runs), name, shared)
    assert {run.id for run in recordings()} == {*IDS}


def test_recording_is_not_replaced_and_there_must_be_something_to_watch(own_assets: Path, runs: Path) -> None:
    run = searched(runs)
    with pytest.raises(BadRequest, match="delete"):
        record(run, "search-digits-dit", shared)
    for kind, config in (("bare", SearchConfig.create()), ("sample", SampleConfig.create())):
        with pytest.raises(BadRequest, match="nothing to watch"):
            record(make_run(runs, config, kind), kind, shared)
