"""Jobs that are stopped at odd moments, and what they are resumed with."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tinylab.cli import main
from tinylab.config import CompareConfig, FinetuneConfig, JobConfig, PruneConfig, TrainConfig, kind_of
from tinylab.errors import BadRequest, Stopped
from tinylab.jobs.admission import check
from tinylab.jobs.context import JobContext
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.registry import load
from tinylab.runs.run import Run

SHORT = {"batch_size": 4, "threads": 1}


def stopped(config: JobConfig, path: Path) -> tuple[Run, str]:
    """A run that was asked to stop before it began, as early as one can be, and what it said."""
    run = start_run(config, path)
    context = JobContext(run, quiet=True)
    with context.signals(), pytest.raises(Stopped) as stop:
        signal.raise_signal(signal.SIGTERM)
        load(kind_of(config).run)(config, context)
    context.finish("stopped", str(stop.value))
    return run, str(stop.value)


def test_scoring_blocks_can_be_stopped(tiny_folder: str, tmp_path: Path) -> None:
    config = PruneConfig.create(model=tiny_folder, keep=2, samples=64)
    run, said = stopped(config, tmp_path / "p")
    assert "resume it to score" in said
    assert not run.plan_path.exists()
    assert len(execute(run, quiet=True)["kept"]["blocks"]) == 2


def test_scoring_blocks_of_a_comparison_can_be_stopped(tiny_folder: str, tmp_path: Path) -> None:
    config = CompareConfig.create(model=tiny_folder, methods=("influence",), steps=0, samples=64)
    run, said = stopped(config, tmp_path / "c")
    assert "resume it" in said
    assert [row["method"] for row in execute(run, quiet=True)["rows"]] == ["influence"]


def test_judging_samples_can_be_stopped_and_needs_no_training_again(tmp_path: Path) -> None:
    config = TrainConfig.create(preset="digits-dit", steps=1, **SHORT)
    run, said = stopped(config, tmp_path / "t")
    assert "the training is done; resume it to judge" in said
    assert [folder.name for folder in run.checkpoints.iterdir()] == ["step-000000001"]


def plan(path: Path, *blocks: int, model: str, method: str = "mine") -> str:
    DepthPlan.of(blocks, {"blocks": 4}, method, model=model).save(path)
    return str(path)


def test_a_resumed_cell_keeps_the_plan_it_was_begun_with(tiny_folder: str, tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    plan(source, 0, 1, model=tiny_folder)
    config = CompareConfig.create(model=tiny_folder, plans=(str(source),), methods=("oracle",), steps=5, **SHORT)
    run, _ = stopped(config, tmp_path / "c")
    assert (run.checkpoints / "0" / "seed-0" / "tuning" / "step-000000001").is_dir()
    plan(source, 2, 3, model=tiny_folder)
    rows = execute(run, quiet=True)["rows"]
    assert [row["kept"]["blocks"] for row in rows] == [[0, 1], [0, 3]]
    assert DepthPlan.load(run.path / "models" / "0" / "plan.json").kept == {"blocks": (0, 1)}


def test_a_comparison_goes_on_after_its_plans_are_gone(tiny_folder: str, tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    plan(source, 0, 1, model=tiny_folder)
    config = CompareConfig.create(model=tiny_folder, plans=(str(source),), methods=(), steps=5, **SHORT)
    run, _ = stopped(config, tmp_path / "c")
    source.unlink()
    assert [row["kept"]["blocks"] for row in execute(run, quiet=True)["rows"]] == [[0, 1]]


def test_a_fine_tuning_goes_on_after_its_plan_is_gone(tiny_folder: str, tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    plan(source, 0, 1, model=tiny_folder)
    run, _ = stopped(FinetuneConfig.create(plan=str(source), steps=2, snapshot_every=0, **SHORT), tmp_path / "f")
    source.unlink()
    assert execute(run, quiet=True)["kept"] == {"blocks": [0, 1]}


def test_rows_of_a_comparison_are_told_apart(tiny_folder: str, tmp_path: Path) -> None:
    paths = []
    for folder in ("a/x", "b/x", "c"):
        (tmp_path / folder).mkdir(parents=True)
        paths.append(plan(tmp_path / folder / "plan.json", 0, 1, model=tiny_folder, method="oracle"))
    config = CompareConfig.create(model=tiny_folder, plans=tuple(paths), methods=("oracle",), steps=0, threads=1)
    rows = execute(start_run(config, tmp_path / "out"), quiet=True)["rows"]
    assert [row["method"] for row in rows] == [
        "oracle (x/plan.json)",
        "oracle (x/plan.json) #2",
        "oracle (c/plan.json)",
        "oracle",
    ]


@pytest.mark.parametrize("name", ["methods", "plans"])
def test_nothing_is_compared_with_itself(name: str, tiny_folder: str, tmp_path: Path) -> None:
    twice = {"methods": "random", "plans": plan(tmp_path / "p.json", 0, 1, model=tiny_folder)}[name]
    with pytest.raises(BadRequest, match="is named twice"):
        check(CompareConfig.create(model=tiny_folder, **{name: (twice, twice)}))


def test_a_plan_used_for_another_model_names_that_model(
    tiny_folder: str, build_tiny: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    save_model(build_tiny("dit", seed=1), other, card="# Other\n")
    source = plan(tmp_path / "p.json", 0, 1, model=tiny_folder)
    words = ["--steps", 1, "--snapshot-every", 0, "--batch-size", 4, "--threads", 1, "--quiet", "--json"]
    command = ["finetune", "--model", other, "--plan", source, "--out", tmp_path / "f", *words]
    assert main([str(word) for word in command]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == {"blocks": [0, 1]}
    assert DepthPlan.load(tmp_path / "f" / "plan.json").model == str(other)
    assert "Teacher: other\n" in (tmp_path / "f" / "model" / "README.md").read_text()
