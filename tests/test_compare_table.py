"""The table of a comparison as the command line prints it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from run_folders import make_run

from tinylab.cli import main
from tinylab.config import CompareConfig, PruneConfig
from tinylab.pruning.exhaustive import Candidate, CandidateTable
from tinylab.runs.run import Run


def row(method: str, before: float, after: float | None, cells: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        **{"method": method, "kept": cells[0]["kept"], "loss_pruned": before, "loss_finetuned": after},
        **{"loss_pruned_error": None, "loss_finetuned_error": None, "speedup": 1.96, "parameters": 48},
        **{"parameters_share": 0.5, "model": "models/0", "cells": cells, **more},
    }


def cell(seed: int, *kept: int, **more: Any) -> dict[str, Any]:
    return {"seed": seed, "kept": {"blocks": list(kept)}, **more}


RANDOM = row(
    *("random", 0.5, 0.2, [cell(0, 0, 3, rank=5), cell(1, 1, 2, rank=None), cell(2, 0, 3, rank=5)]),
    **{"loss_pruned_error": 0.1, "loss_finetuned_error": 0.012345, "rank": 5, "rank_share": 5 / 6},
)
FIRST = row(
    *("first", 0.6, 0.1, [cell(0, 0, 1, rank=1), cell(1, 0, 1, rank=1), cell(2, 0, 1, rank=1)]),
    **{"loss_pruned_error": 0.0, "loss_finetuned_error": 0.001, "rank": 1, "rank_share": 1 / 6},
)
FULL = {"loss": 0.08, "parameters": 96, "depth": {"blocks": 4}}
RESULT: dict[str, Any] = {"full": FULL, "rows": [RANDOM, FIRST], "keep": 2, "seeds": [0, 1, 2]}
STUDY = {"candidates": 6, "finetuned": 6, "recipe": None}


@pytest.fixture
def run(runs: Path) -> Run:
    """A comparison at work."""
    return make_run(runs, CompareConfig.create(), "table", state="stopped")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["table", *arguments]) == 0
    return capsys.readouterr().out


def test_rows_are_sorted_by_the_loss_after_fine_tuning(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_result(RESULT)
    lines = printed(capsys, run.id).splitlines()
    assert [line.split()[0] for line in lines] == ["method", "first", "random", "full"]
    assert "0.6000   " in lines[1] and "0.10000 ± 0.00100" in lines[1] and lines[1].endswith("1.96x  0 1")
    assert "0.50000 ± 0.10000" in lines[2] and lines[2].endswith("0 3 (seed 0, 2); 1 2 (seed 1)")
    assert "rank" not in lines[0]


def test_columns_begin_below_each_other(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_result(RESULT)
    head, *lines = printed(capsys, run.id).splitlines()
    for title in ("loss after pruning", "fine-tuned", "speed", "kept blocks"):
        place = head.index(title)
        assert all(line[place - 2 : place] == "  " and line[place] != " " for line in lines)


def test_ranks_stand_in_the_table_of_a_study(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_result({**RESULT, "study": STUDY})
    lines = printed(capsys, run.id).splitlines()
    assert "1 of 6 (best 16.7%)" in lines[1]
    assert "5 of 6 (best 83.3%, 2 of 3 seeds)" in lines[2]
    unranked = [{**line, "rank": None, "rank_share": None} for line in RESULT["rows"]]
    run.write_result({**RESULT, "rows": unranked, "study": STUDY})
    assert "best" not in printed(capsys, run.id)


def test_markdown_is_a_table(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_result(RESULT)
    lines = printed(capsys, run.id, "--markdown").splitlines()
    assert {line.count("|") for line in lines} == {6}
    assert set(lines[1]) == {"|", "-", " "}
    assert lines[2].startswith("| first ")


def test_json_tells_everything(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_result(RESULT)
    told = json.loads(printed(capsys, run.id, "--json"))
    assert told == {**RESULT, "rows": [FIRST, RANDOM], "run": str(run.path)}


def test_what_was_not_fine_tuned_is_sorted_by_the_cut(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("a", 0.9, None, [cell(0, 0, 1)]), row("b", 0.3, None, [cell(0, 1, 2)])]
    run.write_result({**RESULT, "rows": rows})
    lines = printed(capsys, str(run.path)).splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["b", "a"]
    assert lines[1].split()[1:3] == ["0.3000", "–"]


def test_results_of_earlier_versions_are_read(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("method", "kept", "loss_pruned", "loss_finetuned", "speedup", "parameters", "parameters_share", "model")
    run.write_result({"full": FULL, "keep": 2, "rows": [{name: FIRST[name] for name in names}]})
    assert printed(capsys, run.id).splitlines()[1].split() == ["first", "0.6000", "0.1000", "1.96x", "0", "1"]


def test_ranks_are_told_by_another_study_than_at_the_time(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.path / "config.json").write_text(CompareConfig.create(model="no-more").to_json())
    candidates = [Candidate(("0", "1"), 0.6, 0.3), Candidate(("0", "3"), 0.5, 0.2), Candidate(("1", "2"), 0.7)]
    CandidateTable(candidates).save(tmp_path / "now.csv")
    losses = {"loss_pruned": 0.4, "loss_finetuned": 0.1}
    rows = [{**old, "cells": [{**one, **losses} for one in old["cells"]]} for old in RESULT["rows"]]
    run.write_result({**RESULT, "rows": rows})
    told = json.loads(printed(capsys, run.id, "--study", str(tmp_path / "now.csv"), "--json"))
    first, random = told["rows"]
    assert [cell["rank"] for cell in random["cells"]] == [1, None, 1]
    assert (first["rank"], first["rank_share"], random["rank"]) == (2, 1.0, 1)
    assert told["study"] == {"candidates": 3, "finetuned": 2, "recipe": None}
    assert run.result()["rows"] == rows  # reading changes nothing
    CandidateTable([Candidate(("0",), 0.6, 0.3)]).save(tmp_path / "now.csv")
    assert main(["table", run.id, "--study", str(tmp_path / "now.csv")]) == 2
    assert "the study keeps 1 blocks, this comparison 2" in capsys.readouterr().err


def test_a_run_without_a_table_says_so(run: Run, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", run.id]) == 0
    assert capsys.readouterr() == ("", "no method is done yet\n")
    make_run(runs, PruneConfig.create(), "cut")
    assert main(["table", "cut"]) == 0
    assert capsys.readouterr() == ("", "cut has no tables yet\n")


def test_csv_holds_all_digits(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_result({**RESULT, "rows": [row("oracle", 0.123456789, 0.1, [cell(0, 0, 1)])]})
    head, line, *_ = printed(capsys, run.id, "--csv").splitlines()
    assert head.startswith("table,method,loss_pruned")
    assert line.startswith("comparison,BK-SDM oracle,0.123456789,")
