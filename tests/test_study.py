"""The study job: every candidate, in several processes, resumable."""

from __future__ import annotations

import pytest
from killed_jobs import save_tiny

from tinylab.cli import main
from tinylab.config import StudyConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.errors import BadRequest, Stopped
from tinylab.jobs import study as study_job
from tinylab.jobs.context import JobContext
from tinylab.jobs.execute import execute, start_run
from tinylab.jobs.ground_truth import CANDIDATES
from tinylab.metrics.denoising import held_out_loss
from tinylab.models.load import load_model, save_model
from tinylab.pruning.exhaustive import CandidateTable
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.run import Run


def _config(model: str, **changes) -> StudyConfig:
    return StudyConfig.create(model=model, **{"steps": 2, "batch_size": 4, "keep": 2, **changes})


def _table(run: Run) -> CandidateTable:
    return CandidateTable.load(run.artifacts / CANDIDATES)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def finished(model_folder, forked_pools, tmp_path_factory):
    run = start_run(_config(model_folder), tmp_path_factory.mktemp("study") / "whole")
    return run, execute(run, quiet=True)


def test_every_candidate_is_scored_before_and_after(finished, model_folder):
    run, result = finished
    table = _table(run)
    assert (len(table), len(table.scored), len(table.finetuned)) == (6, 6, 6)
    assert result["candidates"] == result["finetuned"] == 6
    assert -1 <= result["rank_correlation"] <= 1
    best = min(table.finetuned, key=lambda row: row.loss_finetuned)
    assert result["best"]["kept"] == list(best.kept)
    model = load_model(model_folder)
    cut = apply_plan(model, DepthPlan.of(["1", "3"], {"blocks": 4}, "test"))
    row = next(row for row in table.rows if row.kept == ("1", "3"))
    assert row.loss_pruned == pytest.approx(held_out_loss(cut, objective_for(model), load_digits()[1]).loss, rel=1e-6)


def test_several_processes_find_the_same_and_a_part_is_a_part_of_the_whole(finished, model_folder):
    whole = _table(finished[0])
    part = start_run(_config(model_folder, finetune=2, workers=2))
    execute(part, quiet=True)
    table = _table(part)
    assert len(table.scored) == 6 and len(table.finetuned) == 2
    for row in table.finetuned:
        assert row in whole.rows


def test_a_stopped_study_goes_on_where_it_was(finished, model_folder, monkeypatch):
    run = start_run(_config(model_folder))
    asked = iter([False] * 12)
    monkeypatch.setattr(JobContext, "should_stop", lambda self: next(asked, True))
    with pytest.raises(Stopped, match="of 12 losses"):
        execute(run, quiet=True)
    done = len(_table(run).scored)
    assert 0 < done < 12
    monkeypatch.undo()
    execute(Run.open(run.path), quiet=True)
    assert _table(run).rows == _table(finished[0]).rows


def test_an_earlier_study_is_taken_over_if_it_is_of_the_same_recipe(finished, model_folder, monkeypatch):
    first, result = finished
    again = start_run(_config(model_folder, known=str(first.path)))
    monkeypatch.setattr(study_job._Bench, "loss", None)  # nothing is left to compute
    found = execute(again, quiet=True)
    assert (found["finetuned"], found["best"]["kept"]) == (6, result["best"]["kept"])
    assert _table(again).rows == _table(first).rows
    with pytest.raises(BadRequest, match="another recipe"):
        execute(start_run(_config(model_folder, known=str(first.path), steps=3)), quiet=True)


def test_the_command_line_takes_what_to_study_without_a_flag(tiny_folder, capsys):
    assert main(["study", "exhaustive", "--model", tiny_folder, "--dry-run"]) == 0
    assert '"what": "exhaustive"' in capsys.readouterr().out
    assert main(["study", "everything", "--model", tiny_folder]) == 2
    assert main(["study"]) == 2


def test_a_study_of_too_many_candidates_is_refused_before_it_starts(build_tiny_dit, tmp_path):
    save_model(build_tiny_dit(depth=28), tmp_path / "deep", card="")
    with pytest.raises(BadRequest, match="40,116,600 ways"):
        start_run(StudyConfig.create(model=str(tmp_path / "deep")))
