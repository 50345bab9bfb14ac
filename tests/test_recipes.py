"""Recipes of recovery side by side: how they are written, what a row tells, cells that survive a stop."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tinylab.cli import main
from tinylab.config import RecipesConfig
from tinylab.errors import BadRequest
from tinylab.jobs.admission import check
from tinylab.jobs.checks import recipe_config
from tinylab.jobs.execute import execute, start_run
from tinylab.jobs.recipes import CELLS, recipe_rows

TWO = ("diffusion", "masked-kd:mask=joint+beta=0.5")
pytestmark = pytest.mark.usefixtures("forked_pools")
QUICK: dict[str, Any] = {"steps": 2, "batch_size": 4, "indices": ("0", "2"), "scored_samples": 20, "seeds": (0, 1)}


def test_a_recipe_is_a_loss_and_what_differs() -> None:
    config = RecipesConfig.create(steps=7, lr=0.01, batch_size=3)
    found = recipe_config("masked-kd:mask=joint+beta=0.5+warm-start=linear", config, 4)
    assert (found.loss, found.mask, found.beta, found.warm_start) == ("masked-kd", "joint", 0.5, "linear")
    assert (found.steps, found.lr, found.batch_size, found.seed) == (7, 0.01, 3, 4)
    assert recipe_config("logit:lr=0.5+steps=3", config, 0).lr == 0.5


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("magic", "unknown loss 'magic' in recipe 'magic'; choose one of: diffusion, logit"),
        ("logit:alpha", "'alpha' in recipe 'logit:alpha': write FIELD=VALUE with one of alpha, beta"),
        ("logit:seed=3", "'seed=3' in recipe"),
        ("logit:alpha=7", "alpha: input should be less than or equal to 1"),
        ("feature:layer_map=published", "4 blocks do not make 3 equal groups"),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(tiny_folder: str, recipe: str, said: str) -> None:
    config = RecipesConfig.create(model=tiny_folder, indices=("0", "2", "3"), recipes=("diffusion", recipe))
    with pytest.raises(BadRequest) as refused:
        check(config)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_nothing_and_the_same_twice_are_refused(tiny_folder: str) -> None:
    asked = {"model": tiny_folder, "indices": ("0", "2")}
    for changes, said in [
        ({"recipes": ()}, "nothing to compare"),
        ({"seeds": ()}, "nothing to compare"),
        ({"recipes": ("logit", "logit")}, "named twice"),
        ({"scored_samples": 5}, "score 20 or more, or 0"),
    ]:
        with pytest.raises(BadRequest, match=said):
            check(RecipesConfig.create(**{**asked, **changes}))


def test_rows_are_means_over_seeds_and_differences_seed_by_seed() -> None:
    def cell(recipe: str, seed: int, loss: float, seconds: float) -> dict[str, Any]:
        scores = {"kernel_distance": None, "read_correctly": loss / 2}
        return {"recipe": recipe, "seed": seed, "loss": loss, **scores, "seconds": seconds}

    cells = [cell("a", 0, 1.0, 3), cell("a", 1, 2.0, 5), cell("b", 0, 0.5, 1), cell("b", 1, 1.7, 9), cell("b", 2, 9, 2)]
    first, second = recipe_rows(("a", "b", "c"), cells)
    assert (first["recipe"], first["loss"], first["difference"], first["seconds"]) == ("a", 1.5, 0.0, 4)
    assert first["loss_error"] == pytest.approx(math.sqrt(0.5) / math.sqrt(2))
    assert second["difference"] == pytest.approx(-0.4)  # seed 2 has nothing to be compared with
    assert second["difference_error"] == pytest.approx(0.1)
    assert (second["seeds"], second["kernel_distance"]) == ([0, 1, 2], None)


def test_a_stopped_job_keeps_its_cells_and_ends_as_one_that_was_not(tiny_folder: str, tmp_path: Path) -> None:
    config = RecipesConfig.create(model=tiny_folder, recipes=TWO, **QUICK)
    whole = execute(start_run(config, tmp_path / "a"), quiet=True)
    run = start_run(config, tmp_path / "b")
    kept = json.loads((tmp_path / "a" / "artifacts" / CELLS).read_text())["cells"][:1]
    kept[0]["loss"] = 99.0  # only a cell that is not computed again still says this
    (run.artifacts / CELLS).write_text(json.dumps({"cells": kept}))
    resumed = execute(run, quiet=True)
    assert resumed["rows"][0]["loss"] > 40
    assert resumed["rows"][1]["loss"] == whole["rows"][1]["loss"]
    assert whole["loss_full"] < whole["loss_pruned"] or whole["loss_full"] > 0
    assert [row["seeds"] for row in whole["rows"]] == [[0, 1], [0, 1]]


def test_damaged_cells_are_refused_with_the_mend(tiny_folder: str, tmp_path: Path) -> None:
    run = start_run(RecipesConfig.create(model=tiny_folder, recipes=TWO, **QUICK), tmp_path / "c")
    (run.artifacts / CELLS).write_text('{"cells": [{"recipe": 1}]}')
    with pytest.raises(BadRequest, match="is damaged; delete it to compute all again"):
        execute(run, quiet=True)


def test_the_table_is_printed_best_first(tiny_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "r"
    recipes = ["recipes", "--model", tiny_folder, "--indices", "0,2", "--recipes", ",".join(TWO), "--seeds", "0,1"]
    short = ["--steps", "2", "--batch-size", "4", "--scored-samples", "20", "--quiet"]
    assert main([*recipes, *short, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main(["table", str(out), "--markdown"]) == 0
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert "difference to diffusion" in head and "kernel distance" in head
    losses = [float(line.split("|")[2].split("±")[0]) for line in lines[:2]]
    assert losses == sorted(losses)
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["right after the cut", "full model"]
    assert main(["table", str(out), "--study", "x"]) == 2
    assert "leave it out" in capsys.readouterr().err
