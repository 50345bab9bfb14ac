"""Trackers show a run's curves in their own way, from files in the run folder."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tinylab.cli import main
from tinylab.config import FinetuneConfig
from tinylab.errors import BadRequest, Stopped
from tinylab.jobs.context import JobContext
from tinylab.jobs.execute import execute, start_run
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import Run
from tinylab.training.trackers import TRACKERS, check_tracker

ABSENT = [name for name in TRACKERS.names() if importlib.util.find_spec(name) is None]


def config(model: str, **changes: object) -> FinetuneConfig:
    values = {"steps": 4, "batch_size": 4, "log_every": 1, "snapshot_every": 0, "threads": 1, **changes}
    return FinetuneConfig.create(model=model, indices=(0, 2), tracker="tensorboard", **values)


def curves(run: Run) -> dict[str, dict[int, float]]:
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    return {name: {e.step: e.value for e in events.Scalars(name)} for name in events.Tags()["scalars"]}


def test_tensorboard_shows_what_the_metrics_hold_and_what_the_clock_said(tiny_folder: str) -> None:
    run = start_run(config(tiny_folder))
    execute(run, quiet=True)
    shown, stored = curves(run), MetricsReader(run.metrics_path)
    names = stored.names()
    assert {"loss", "grad_norm", "lr"} <= set(names)
    assert shown.keys() == {*names, "time/seconds", "time/data_wait"}
    for name in names:
        assert shown[name] == pytest.approx(dict(stored.scalars(name)))
    assert list(shown["loss"]) == [1, 2, 3, 4]


def test_a_resumed_run_shows_every_step_once(tiny_folder: str) -> None:
    run = start_run(config(tiny_folder, steps=6, checkpoint_every=100))

    class Stop(JobContext):
        def should_stop(self) -> bool:
            return self._status.step == 3

    from tinylab.jobs import finetune

    context = Stop(run, quiet=True)
    with pytest.raises(Stopped):
        finetune.run(run.config(), context)
    context.finish("stopped")
    assert list(curves(run)["loss"]) == [1, 2, 3]
    execute(run, quiet=True)
    assert list(curves(run)["loss"]) == [1, 2, 3, 4, 5, 6]


def test_without_a_tracker_none_is_imported(tiny_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "tensorboard" or name.endswith(".tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    run = start_run(config(tiny_folder, steps=1).model_copy(update={"tracker": "none"}))
    execute(run, quiet=True)
    assert "torch.utils.tensorboard" not in sys.modules
    assert not (run.path / "tensorboard").exists()


@pytest.mark.parametrize("name", ABSENT)
def test_a_library_that_is_not_there_is_one_line_before_the_run_begins(
    name: str, tiny_folder: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", "--model", tiny_folder, "--indices", "0,2", "--tracker", name]
    assert main(command) == 2
    assert capsys.readouterr().err == (
        f"tinylab: --tracker {name}: that library is not here; `pip install tinylab[{name}]` brings it\n"
    )
    assert not runs.exists()


def test_every_tracker_that_a_config_can_name_is_there() -> None:
    (*names,) = FinetuneConfig.model_fields["tracker"].annotation.__args__  # type: ignore[union-attr]
    assert set(names) == {"none", *TRACKERS.names()}
    check_tracker("none")
    with pytest.raises(BadRequest, match="unknown tracker 'mlflow'; choose one of: tensorboard, trackio, wandb"):
        check_tracker("mlflow")
