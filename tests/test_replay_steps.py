"""A run as it stood earlier: equal to itself at its end, and before that free of anything later."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from run_folders import make_run

from app.views import compare, finetune, search
from app.views.parts import Payload
from tinylab.config import CompareConfig, FinetuneConfig, JobConfig, SampleConfig, SearchConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.presets import finetune_config
from tinylab.pruning.exhaustive import Candidate, CandidateTable
from tinylab.runs.metrics_db import MetricsReader, MetricsWriter
from tinylab.runs.replay import MOST_REPLAY_STEPS, RunAtStep, replay_steps, run_at
from tinylab.runs.run import Run, Status, own_process
from tinylab.training.recorder import StepRecord

VIEWS: dict[str, Callable[..., Payload]] = {
    "search": search.view,
    "seeds": search.view,
    "finetune": finetune.view,
    "compare": compare.view,
}
STEPWISE = ("search", "seeds", "finetune")
every_run = pytest.mark.parametrize("name", VIEWS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs of a tiny model."""
    home = tmp_path_factory.mktemp("lab")
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=4, num_heads=2), home / "model", card="")
    candidates = [Candidate((str(i), str(j)), 0.5 + i, 0.1 + j) for i, j in combinations(range(4), 2)]
    CandidateTable(candidates).save(home / "study.csv")
    common: dict[str, Any] = {"model": str(home / "model"), "batch_size": 4, "log_every": 1, "threads": 1}
    warm: dict[str, Any] = {"indices": (0, 3), "warm_start": "align", "warm_steps": 2, "snapshot_every": 2}
    configs: dict[str, JobConfig] = {
        "search": SearchConfig.create(pattern="1:2", lora_rank=1, steps=6, **common),
        "seeds": SearchConfig.create(pattern="1:2", lora_rank=1, steps=3, seeds="0-1", **common),
        "finetune": finetune_config("quick", loss="masked-kd", steps=5, scored_samples=20, **warm, **common),
        "compare": CompareConfig.create(
            methods=("influence", "random"), seeds="0-2", samples=4, steps=2, study=str(home / "study.csv"), **common
        ),
    }
    for name, config in configs.items():
        execute(start_run(config, home / "runs" / name), quiet=True)
    return home / "runs"


@pytest.fixture
def copies(made: Path, tmp_path: Path) -> Path:
    """A copy of those runs, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def shown(name: str, run: Run) -> Payload:
    return VIEWS[name](run)


def numbers_in(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for one in value.values():
            yield from numbers_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from numbers_in(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def drawn(payload: Payload) -> set[float]:
    """All numbers that the figures draw, rounded as they are stored."""
    traces = [trace for figure in payload.figures.values() for trace in figure["data"]]
    lists = [trace.get(axis) for trace in traces for axis in ("x", "y", "z", "text")]
    return {round(number, 6) for number in numbers_in([list(one) for one in lists if one is not None])}


def measured(run: Run, *, after: int, until: int) -> set[float]:
    """All numbers that the run has recorded after one step and up to another one, rounded alike."""
    metrics, found = run.metrics(), set()
    for name in metrics.names():
        if not name.startswith("warm-start/"):
            found |= {round(value, 6) for step, value in metrics.scalars(name, after) if step <= until}
    for name in metrics.last_vectors():
        found |= {round(v, 6) for step, values in metrics.vectors(name, after) if step <= until for v in values}
    return found


@every_run
def test_at_its_end_a_run_is_shown_as_it_is(made: Path, name: str) -> None:
    run = Run.open(made / name)
    end = replay_steps(run)[-1]
    assert shown(name, run_at(run, end, end)) == shown(name, run)


@pytest.mark.parametrize("name", STEPWISE)
def test_every_moment_draws_what_was_measured_by_then_and_nothing_later(made: Path, name: str) -> None:
    run = Run.open(made / name)
    steps = replay_steps(run)
    for step in steps[1:-1]:
        there = drawn(shown(name, run_at(run, step, steps[-1])))
        losses = {round(value, 6) for at, value in run.metrics().scalars("loss") if at <= step}
        before, later = measured(run, after=-1, until=step), measured(run, after=step, until=steps[-1])
        assert losses <= there
        only_later = {value for value in later - before if value != int(value)}
        assert only_later and not only_later & there


@pytest.mark.parametrize("name", STEPWISE)
def test_no_axis_of_a_moment_has_a_point_after_its_step(made: Path, name: str) -> None:
    run = Run.open(made / name)
    for step in replay_steps(run)[:-1]:
        payload = shown(name, RunAtStep(run, step))
        over_steps = [payload.figures[slot] for slot in ("heatmap", "loss", "rate", "read") if slot in payload.figures]
        assert over_steps or step == 0
        assert max((x for figure in over_steps for trace in figure["data"] for x in trace["x"]), default=0) <= step


@every_run
def test_moments_go_on_evenly_to_the_end(made: Path, name: str) -> None:
    run = Run.open(made / name)
    steps = replay_steps(run)
    assert steps == sorted(set(steps)) and len(steps) > 3
    assert steps[-1] == (6 if name == "compare" else run.status().step)  # cells: two methods with three seeds


@pytest.mark.parametrize("name", STEPWISE)
def test_moment_is_at_work_and_has_found_nothing(made: Path, name: str) -> None:
    run = Run.open(made / name)
    then, whole = RunAtStep(run, 2), run.status()
    status = then.status()
    assert (status.state, status.step, status.steps, status.message) == ("running", 2, whole.steps, "")
    assert status.seconds == pytest.approx(whole.seconds * 2 / whole.step)
    assert status.seconds + (status.seconds_left or 0) == pytest.approx(whole.seconds)
    assert (then.result(), then.activations()) == ({}, {})
    card = shown(name, then).html["status"]
    assert "step 2 of" in card and ">Replay<" in card
    assert not {"result", "activations"} & {*shown(name, then).html, *shown(name, then).figures}


def test_film_grows_with_the_moments_and_the_warm_start_is_whole_from_the_beginning(made: Path) -> None:
    run = Run.open(made / "finetune")
    films = [len(run_at(run, step, 5).snapshots()) for step in replay_steps(run)]
    assert films == [1, 1, 2, 2, 3, 4]
    whole = [step for step, _ in run.metrics().scalars("warm-start/loss")]
    assert whole and [step for step, _ in RunAtStep(run, 0).metrics().scalars("warm-start/loss")] == whole
    assert (
        "warm-start/loss" in RunAtStep(run, 0).metrics().names() and "loss" not in RunAtStep(run, 0).metrics().names()
    )


def test_comparison_gains_a_cell_a_moment_every_method_once_before_any_twice(made: Path) -> None:
    run = Run.open(made / "compare")
    assert replay_steps(run) == [1, 2, 3, 4, 5, 6]
    cells = [
        [[cell["seed"] for cell in row["cells"]] for row in run_at(run, count, 6).result()["rows"]]
        for count in replay_steps(run)
    ]
    assert cells == [[[0]], [[0], [0]], [[0, 1], [0]], [[0, 1], [0, 1]], [[0, 1, 2], [0, 1]], [[0, 1, 2], [0, 1, 2]]]
    steps = [run_at(run, count, 6).status().step for count in replay_steps(run)]
    assert steps == [2, 4, 6, 8, 10, 12]


def test_rows_of_a_comparison_are_those_that_the_job_had_written(tmp_path: Path, made: Path) -> None:
    """The same comparison with fewer seeds, computed, against the longer one as it stood then."""
    whole = Run.open(made / "compare")
    config = whole.config()
    assert isinstance(config, CompareConfig)
    short = start_run(config.model_copy(update={"seeds": (0, 1)}), tmp_path / "short")
    execute(short, quiet=True)
    then = run_at(whole, 4, 6).result()["rows"]
    for row, wanted in zip(then, short.result()["rows"], strict=True):
        assert row.keys() == wanted.keys()
        for name, value in wanted.items():
            if name not in ("cells", "speedup"):  # speed is measured again, and so is the time of choosing
                assert row[name] == (pytest.approx(value) if isinstance(value, float) else value), name


@pytest.mark.parametrize("state", ["created", "starting", "running"])
def test_run_at_work_has_no_moments(copies: Path, state: str) -> None:
    run = Run.open(copies / "search")
    run.write_status(replace(run.stored_status(), state=state, **own_process()))
    assert replay_steps(run) == []


@pytest.mark.parametrize("state", ["stopped", "failed", "interrupted"])
def test_run_that_ended_early_can_be_watched_to_where_it_came(copies: Path, state: str) -> None:
    run = Run.open(copies / "search")
    (run.artifacts / "result.json").unlink()
    writer = MetricsWriter(run.metrics_path)
    writer.rewind(3)
    writer.close()
    run.write_status(replace(run.stored_status(), state=state, step=4, message="why it ended"))
    assert replay_steps(run) == [1, 2, 3, 4]
    assert "why it ended" in shown("search", run_at(run, 4, 4)).html["status"]
    assert "why it ended" not in shown("search", run_at(run, 3, 4)).html["status"]


def test_long_run_has_as_many_moments_as_can_be_watched(copies: Path) -> None:
    run = Run.open(copies / "search")
    writer = MetricsWriter(run.metrics_path)
    for step in range(7, 1000):
        writer.write(step, StepRecord({"loss": 1 / step}))
    writer.close()
    run.write_status(Status(state="finished", step=999, steps=999))
    steps = replay_steps(run)
    assert len(steps) == MOST_REPLAY_STEPS and (steps[0], steps[-1]) == (1, 999)
    gaps = {later - sooner for sooner, later in zip(steps, steps[1:], strict=False)}
    assert max(gaps) - min(gaps) <= 1


def test_nothing_to_watch_in_a_run_without_records_or_of_another_kind(tmp_path: Path) -> None:
    assert replay_steps(make_run(tmp_path, SearchConfig.create(), "empty")) == []
    assert replay_steps(make_run(tmp_path, FinetuneConfig.create(indices=(0, 1)), "bare")) == []
    assert replay_steps(make_run(tmp_path, SampleConfig.create(), "sample", step=9, steps=9)) == []


def test_reader_ends_where_it_is_told(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path / "metrics.db")
    for step in (1, 2, 3):
        writer.write(step, StepRecord({"loss": step, f"only-{step}": 1.0}, {"kept": [step]}))
    writer.close()
    reader = MetricsReader(tmp_path / "metrics.db", 2)
    assert reader.scalars("loss") == [(1, 1.0), (2, 2.0)]
    assert reader.scalars("loss", after=1) == [(2, 2.0)]
    assert reader.vectors("kept") == [(1, [1.0]), (2, [2.0])]
    assert (reader.last_vectors(), reader.last_scalars()) == ({"kept": [2.0]}, {"loss": 2.0, "only-2": 1.0})
    assert reader.names() == ["loss", "only-1", "only-2"]
    assert MetricsReader(tmp_path / "metrics.db", 2, spare="only").names() == ["loss", "only-1", "only-2", "only-3"]
    assert MetricsReader(tmp_path / "metrics.db", 0).last_vectors() == {}
