"""`tinylab prune` with patterns, draws and options that do not agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinylab.cli import main
from tinylab.config import PruneConfig
from tinylab.errors import BadRequest
from tinylab.jobs.admission import check
from tinylab.pruning.plan import DepthPlan


def cut(tmp_path: Path, model: str, *options: str) -> DepthPlan:
    out = tmp_path / f"cut{len(list(tmp_path.iterdir()))}"
    assert main(["prune", "--model", model, *options, "--samples", "8", "--out", str(out), "--quiet"]) == 0
    return DepthPlan.load(out / "plan.json")


@pytest.mark.parametrize("method", ["influence", "influence-clean", "laptop", "greedy", "even"])
def test_a_pattern_is_followed_and_told(method: str, tiny_folder: str, tmp_path: Path) -> None:
    plan = cut(tmp_path, tiny_folder, "--method", method, "--pattern", "1:2")
    first, second = plan.kept["blocks"]
    assert first in (0, 1) and second in (2, 3)
    assert (plan.method, plan.details["pattern"], plan.details["keep"]) == (method, "1:2", 2)


def test_without_a_method_it_is_influence_over_all_blocks(tiny_folder: str, tmp_path: Path) -> None:
    asked, usual = cut(tmp_path, tiny_folder, "--method", "influence", "--keep", "2"), cut(tmp_path, tiny_folder)
    assert asked == usual
    assert usual.details["pattern"] == "keep=2"


def test_draws_are_as_many_as_asked_for(tiny_folder: str, tmp_path: Path) -> None:
    worst = cut(tmp_path, tiny_folder, "--method", "worst-random", "--draws", "1", "--seed", "4")
    lucky = cut(tmp_path, tiny_folder, "--method", "random", "--seed", "4")
    assert worst.kept == lucky.kept
    assert (worst.details["draws"], worst.details["samples"]) == (1, 8)
    assert "draws" not in lucky.details


def test_indices_may_name_every_block(tiny_folder: str, tmp_path: Path) -> None:
    plan = cut(tmp_path, tiny_folder, "--indices", "0,1,2,3")
    assert plan.kept == {"blocks": (0, 1, 2, 3)}
    assert (plan.method, plan.model, plan.details) == ("indices", tiny_folder, {"seed": 0, "keep": 4})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pattern": "1:2", "keep": 3}, "--keep 3 does not agree with --pattern 1:2, which keeps 6; drop one"),
        ({"pattern": "time=0.5"}, "time=0.5 is for `tinylab search`; give keep=K or N:M"),
        ({"pattern": "5:7"}, "patterns that do: 1:2"),
        ({"pattern": "1:3", "method": "oracle"}, "use --keep 6 or --pattern 1:2"),
        ({"plan": "p.json", "method": "influence"}, "leave out --method influence"),
        ({"plan": "p.json", "pattern": "1:2"}, "leave out --pattern 1:2"),
        ({"plan": "p.json", "draws": 5}, "leave out --draws 5"),
        ({"indices": (0, 1), "method": "influence"}, "leave out --method influence"),
        ({"indices": (0, 1), "pattern": "1:2"}, "leave one out"),
        ({"method": "indices", "model": "digits-mar"}, "such as e0,d5"),
    ],
)
def test_options_that_do_not_agree_are_told_in_one_line(options: dict, words: str) -> None:
    with pytest.raises(BadRequest) as problem:
        check(PruneConfig.create(**options))
    assert words in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize("draws", [0, -1, "many"])
def test_a_wrong_number_of_draws_is_refused(draws: object) -> None:
    with pytest.raises(BadRequest, match="draws"):
        PruneConfig.create(draws=draws)
