"""All candidates, their table, and ranks."""

from __future__ import annotations

import math

import pytest

from tinylab.errors import BadRequest
from tinylab.pruning.exhaustive import CandidateTable, all_candidates, rank_correlation

TWO = {"encoder": 2, "decoder": 2}


def test_candidates_are_all_sets_in_order():
    found = [candidate.kept for candidate in all_candidates({"blocks": 4}, 2, {})]
    assert len(found) == math.comb(4, 2) == len(set(found))
    assert found[0] == ("0", "1") and found[-1] == ("2", "3")


def test_no_stack_is_empty_and_protected_blocks_stay():
    assert [c.kept for c in all_candidates(TWO, 2, {})] == [("e0", "d0"), ("e0", "d1"), ("e1", "d0"), ("e1", "d1")]
    assert [c.kept for c in all_candidates(TWO, 2, {"decoder": [1]})] == [("e0", "d1"), ("e1", "d1")]


def test_too_many_candidates_are_refused():
    with pytest.raises(BadRequest, match="40,116,600 ways to keep 14 blocks"):
        all_candidates({"blocks": 28}, 14, {})


@pytest.fixture
def table() -> CandidateTable:
    table = CandidateTable(all_candidates({"blocks": 4}, 2, {}))
    for place, row in enumerate(table.rows):
        table.set(row.kept, 0.5 + place / 10, finetuned=False)
    table.set(("0", "1"), 0.3, finetuned=True)
    table.set(("1", "2"), 0.1, finetuned=True)
    table.set(("2", "3"), 0.2, finetuned=True)
    return table


def test_a_table_survives_its_file(table, tmp_path):
    table.save(tmp_path / "table.csv")
    assert CandidateTable.load(tmp_path / "table.csv").rows == table.rows
    assert (tmp_path / "table.csv").read_text().splitlines()[:2] == ["kept,loss_pruned,loss_finetuned", "0 1,0.5,0.3"]


def test_a_table_takes_over_another_of_the_same_candidates_alone(table):
    fresh = CandidateTable(all_candidates({"blocks": 4}, 2, {}))
    fresh.take_over(table)
    assert fresh.rows == table.rows
    with pytest.raises(BadRequest, match="other candidates"):
        fresh.take_over(CandidateTable(all_candidates({"blocks": 5}, 2, {})))


@pytest.mark.parametrize("text", ["", "kept\n0 1\n", "kept,loss_pruned,loss_finetuned\n0 1,x,\n", "\0"])
def test_a_damaged_table_is_told(text, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(BadRequest, match="not a table of candidates"):
        CandidateTable.load(path)


def test_rank_correlation_is_that_of_spearman():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 25]) == pytest.approx(0.8)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert math.isnan(rank_correlation([1], [1]))
