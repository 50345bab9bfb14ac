"""A study as ground truth: the place of a choice among all candidates, and when a place cannot be told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_folders import make_run

from tinylab.config import CompareConfig, StudyConfig
from tinylab.errors import BadRequest
from tinylab.jobs.admission import check
from tinylab.jobs.execute import execute, start_run
from tinylab.jobs.ground_truth import CANDIDATES, GroundTruth, Place, recipe_of
from tinylab.pruning.exhaustive import Candidate, CandidateTable
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.run import Run

DEPTH = {"blocks": 4}
ROWS = [  # all ways to keep two of four blocks: loss right after the cut, and fine-tuned
    Candidate(("0", "1"), 0.9, 0.30),
    Candidate(("0", "2"), 0.5, 0.20),
    Candidate(("0", "3"), 0.6, 0.10),
    Candidate(("1", "2"), 0.7, 0.40),
    Candidate(("1", "3"), 0.8, None),
    Candidate(("2", "3"), None, None),
]
RECIPE: dict[str, Any] = {"steps": 2, "batch_size": 4, "lr": 1e-3, "warmup": 1, "ema_decay": 0.5, "label_dropout": 0.1}
ALIKE = recipe_of(CompareConfig.create(**RECIPE), 0)


def plan(*blocks: int) -> DepthPlan:
    return DepthPlan.of(blocks, DEPTH, "mine")


def place(truth: GroundTruth, *blocks: int, cut: float = 0.65, tuned: float | None = 0.25, **recipe: Any) -> Place:
    return truth.place(plan(*blocks), loss_pruned=cut, loss_finetuned=tuned, recipe={**ALIKE, **recipe})


@pytest.fixture
def table(tmp_path: Path) -> str:
    """The candidates as a file."""
    CandidateTable(ROWS).save(tmp_path / "table.csv")
    return str(tmp_path / "table.csv")


def study_run(runs: Path, model: str, rows: list[Candidate] = ROWS, **values: Any) -> Run:
    """A study with these candidates, as `tinylab study` leaves it."""
    run = make_run(runs, StudyConfig.create(model=model, **{**RECIPE, **values}), "study")
    CandidateTable(rows).save(run.artifacts / CANDIDATES)
    return run


def test_a_saved_study_is_read_from_its_folder(runs: Path, tmp_path: Path, tiny_folder: str) -> None:
    truth = GroundTruth.open(str(study_run(runs, tiny_folder).path))
    (tmp_path / "kept").mkdir()
    truth.save(tmp_path / "kept")
    again = GroundTruth.open(str(tmp_path / "kept"))
    assert (again.recipe, again.model, again.table.rows) == (truth.recipe, truth.model, truth.table.rows)


def test_a_choice_is_ranked_by_the_losses_of_the_table() -> None:
    truth = GroundTruth(CandidateTable(ROWS))
    assert place(truth, 0, 3) == Place(1, 1 / 4, 2, (0.6, 0.10))
    assert place(truth, 1, 2) == Place(4, 4 / 4, 3, (0.7, 0.40))


def test_its_own_loss_is_placed_only_if_it_was_made_by_the_recipe_and_seed_of_the_study() -> None:
    truth = GroundTruth(CandidateTable(ROWS), ALIKE)
    assert place(truth, 1, 3) == Place(3, 3 / 5, 4, (0.8, 0.25))
    assert place(truth, 1, 3, tuned=None) == Place(None, None, 4, None)
    for name in RECIPE:
        assert place(truth, 1, 3, **{name: 0}) == Place(None, None, 4, None)
    assert place(truth, 1, 3, seed=1).rank is None
    assert place(truth, 1, 3, clip=9.0).rank is None
    assert place(GroundTruth(CandidateTable(ROWS)), 1, 3).rank is None


def test_its_own_loss_right_after_the_cut_counts_on_equal_data() -> None:
    truth = GroundTruth(CandidateTable(ROWS), ALIKE)
    assert place(truth, 2, 3, steps=99).rank_pruned == 3
    assert place(truth, 2, 3, data="/elsewhere").rank_pruned is None
    assert place(GroundTruth(CandidateTable(ROWS)), 2, 3).rank_pruned is None


def test_a_study_where_nothing_was_fine_tuned_ranks_by_the_cut_alone() -> None:
    rows = [Candidate(row.kept, row.loss_pruned) for row in ROWS]
    assert place(GroundTruth(CandidateTable(rows), ALIKE), 0, 3) == Place(None, None, 2, None)


def test_recipes_are_told_apart_by_what_changes_a_fine_tuning(tmp_path: Path) -> None:
    mine = CompareConfig.create(**RECIPE, seed=7, threads=1, data="digits")
    theirs = StudyConfig.create(**RECIPE, seed=3, workers=4)
    assert recipe_of(mine, 3) == recipe_of(theirs, theirs.seed)
    assert recipe_of(mine, 7) != recipe_of(theirs, theirs.seed)


def test_a_comparison_is_ranked_and_keeps_the_study_it_was_ranked_by(tiny_folder: str, tmp_path: Path) -> None:
    source = study_run(tmp_path, tiny_folder)
    values = {"model": tiny_folder, "study": str(source.path), "seeds": (0, 1), "threads": 1, **RECIPE}
    DepthPlan.of((1, 3), DEPTH, "mine", model=tiny_folder).save(tmp_path / "p.json")
    config = CompareConfig.create(methods=("first", "oracle"), plans=(str(tmp_path / "p.json"),), **values)
    run = start_run(config, tmp_path / "c")
    result = execute(run, quiet=True)
    mine, first, oracle = result["rows"]
    assert [cell["rank"] for cell in first["cells"]] == [3, 3]
    assert (first["rank"], first["rank_share"], first["rank_pruned"]) == (3, 3 / 4, 5)
    assert (oracle["rank"], oracle["rank_pruned"]) == (1, 2)
    assert mine["cells"][1]["rank"] is None  # with another seed than the study's
    own = mine["cells"][0]["loss_finetuned"]
    assert mine["rank"] == mine["cells"][0]["rank"] == 1 + sum(other < own for other in (0.1, 0.2, 0.3, 0.4))
    assert result["study"] == {"candidates": 6, "finetuned": 4, "recipe": ALIKE}
    kept = GroundTruth.load(run.artifacts)
    assert kept is not None and kept.table.rows == ROWS


def test_a_resumed_comparison_needs_the_study_no_more(tiny_folder: str, table: str, tmp_path: Path) -> None:
    values = {"model": tiny_folder, "study": table, "steps": 0, "threads": 1}
    run = start_run(CompareConfig.create(methods=("first",), **values), tmp_path / "c")
    first = execute(run, quiet=True)["rows"]
    Path(table).unlink()
    (run.checkpoints / "0" / "seed-0" / "cell.json").unlink()
    (run.path / "status.json").write_text("{}")
    again = execute(run, quiet=True)["rows"]
    assert again[0]["cells"][0]["rank"] == first[0]["cells"][0]["rank"] == 3


def test_the_fine_tuning_of_a_study_is_that_of_a_comparison(tiny_folder: str, tmp_path: Path) -> None:
    """So that an own loss may take its place among the candidates of a study by the same recipe."""
    scored = start_run(StudyConfig.create(model=tiny_folder, finetune=1, seed=5, **RECIPE), tmp_path / "s")
    execute(scored, quiet=True)
    (row,) = CandidateTable.load(scored.artifacts / CANDIDATES).finetuned
    blocks = [int(name) for name in row.kept]
    DepthPlan.of(blocks, DEPTH, "mine", model=tiny_folder).save(tmp_path / "p.json")
    values = {"model": tiny_folder, "plans": (str(tmp_path / "p.json"),), "methods": (), "threads": 1, **RECIPE}
    (cell,) = execute(start_run(CompareConfig.create(**values, seed=5), tmp_path / "c"), quiet=True)["rows"][0]["cells"]
    assert cell["loss_pruned"] == pytest.approx(row.loss_pruned, rel=1e-6)
    assert cell["loss_finetuned"] == pytest.approx(row.loss_finetuned, rel=1e-6)


def refusal(**values: Any) -> str:
    with pytest.raises(BadRequest) as refused:
        check(CompareConfig.create(methods=("random",), **values))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_study_that_cannot_rank_is_refused(tiny_folder: str, table: str, tmp_path: Path, runs: Path) -> None:
    assert "tinylab runs" in refusal(model=tiny_folder, study="nothing")
    assert "add --keep 2" in refusal(model=tiny_folder, study=table, keep=3)
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    assert "not a table of candidates" in refusal(model=tiny_folder, study=str(tmp_path / "no.csv"))
    other = make_run(runs, CompareConfig.create(model=tiny_folder), "other")
    assert "is no study but a compare" in refusal(model=tiny_folder, study=other.id)
    of_another = study_run(runs, "digits-dit")
    assert "the study is about digits-dit" in refusal(model=tiny_folder, study=of_another.id)


def test_a_study_that_has_just_begun_has_nothing_to_rank_by(tiny_folder: str, tmp_path: Path, runs: Path) -> None:
    begun = make_run(runs, StudyConfig.create(model=tiny_folder), "begun", state="running")
    assert "has no losses yet" in refusal(model=tiny_folder, study=begun.id)
    CandidateTable([Candidate(row.kept) for row in ROWS]).save(begun.artifacts / CANDIDATES)
    assert "has no losses yet" in refusal(model=tiny_folder, study=begun.id)


def test_a_study_of_other_blocks_is_refused(tiny_folder: str, tmp_path: Path) -> None:
    CandidateTable([Candidate(("e0", "d1"), 0.5, 0.2)]).save(tmp_path / "mar.csv")
    assert "block e0 is out of range" in refusal(model=tiny_folder, study=str(tmp_path / "mar.csv"))


def test_ground_truth_is_there_only_where_it_was_saved(tmp_path: Path) -> None:
    assert GroundTruth.load(tmp_path) is None
    GroundTruth(CandidateTable(ROWS), ALIKE, "digits-dit").save(tmp_path)
    loaded = GroundTruth.load(tmp_path)
    assert loaded is not None
    assert (loaded.table.rows, loaded.recipe, loaded.model) == (ROWS, ALIKE, "digits-dit")
    assert json.loads((tmp_path / "study.json").read_text())["recipe"]["steps"] == 2
