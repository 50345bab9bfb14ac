"""The tables of runs: every number of the result, in columns that may be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from measured_results import COST, evaluation
from run_folders import make_run

from tinylab.config import CompareConfig, CostConfig, EvaluateConfig, RecipesConfig, SampleConfig
from tinylab.errors import BadRequest
from tinylab.jobs.ground_truth import GroundTruth
from tinylab.pruning.exhaustive import Candidate, CandidateTable
from tinylab.reports.comparison import comparison_figures
from tinylab.reports.sections import section_of
from tinylab.reports.table_render import table_html
from tinylab.reports.tables import (
    comparison_table,
    cost_table,
    equal_seconds_table,
    recipes_table,
    samples_table,
    score_table,
    size_table,
)
from tinylab.runs.run import Run


def stored(runs: Path, config: Any, name: str, result: dict[str, Any]) -> Run:
    run = make_run(runs, config, name)
    run.write_result(result)
    return run


def row(method: str, before: float, after: float | None, cells: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **{"method": method, "kept": cells[0]["kept"], "loss_pruned": before, "loss_finetuned": after},
        **{"loss_pruned_error": 0.01, "loss_finetuned_error": None, "speedup": 1.9, "parameters": 48},
        **{"parameters_share": 0.5, "model": "models/0", "cells": cells},
    }


def cell(seed: int, kept: list[int], loss: float, **more: Any) -> dict[str, Any]:
    losses = {"loss_pruned": loss, "loss_finetuned": 0.1, "seconds_choosing": 2.0 * seed}
    return {"seed": seed, "kept": {"blocks": kept}, **losses, **more}


COMPARED: dict[str, Any] = {
    "full": {"loss": 0.08, "parameters": 96, "depth": {"blocks": 4}},
    "rows": [
        row("first", 0.6, 0.1, [cell(0, [0, 1], 0.6), cell(1, [0, 1], 0.6)]),
        row("<b>evil</b>", 0.5, 0.2, [cell(0, [0, 3], 0.4, study_losses=[0.4, 0.2]), cell(1, [1, 2], 0.6)]),
    ],
    **{"keep": 2, "seeds": [0, 1]},
}


def test_a_comparison_has_every_method_and_the_full_model_aside(runs: Path) -> None:
    table = comparison_table(stored(runs, CompareConfig.create(), "c", COMPARED))
    assert table.labels == ["First blocks", "<b>evil</b>", "Full model"]
    assert table.column("loss_pruned") == [0.6, 0.5, 0.08]
    assert table.column("seconds_choosing") == [1.0, 1.0, None]
    assert table.column("kept") == ["0 1", "0 3 (seed 0); 1 2 (seed 1)", "all"]
    assert table.rows[0].error(table.index("loss_pruned")) == 0.01
    assert "rank" not in [column.name for column in table.columns]
    assert [row.aside for row in table.rows] == [False, False, True]


def test_ranks_appear_with_a_study(runs: Path) -> None:
    ranked = [{**one, "rank": 2, "rank_share": 0.5} for one in COMPARED["rows"]]
    result = {**COMPARED, "rows": ranked, "study": {"candidates": 6, "finetuned": 4, "recipe": None}}
    table = comparison_table(stored(runs, CompareConfig.create(), "c", result))
    assert table.column("rank") == [2, 2, None] and "4 choices" in table.note


def test_a_comparison_that_has_no_row_yet_is_an_empty_table(runs: Path) -> None:
    run = make_run(runs, CompareConfig.create(), "c", state="running")
    assert comparison_table(run).rows == () and comparison_figures(run) == {}


def test_pictures_of_a_comparison_mark_the_methods_among_all_and_escape_their_names(runs: Path) -> None:
    study = {"candidates": 2, "finetuned": 1, "recipe": None}
    run = stored(runs, CompareConfig.create(), "c", {**COMPARED, "study": study})
    GroundTruth(CandidateTable([Candidate(("0", "1"), 0.6, 0.2), Candidate(("0", "3"), 0.4)])).save(run.artifacts)
    figures = comparison_figures(run)
    assert set(figures) == {"losses", "strips", "distribution", "study"}
    cloud, *lines = figures["distribution"]["data"]
    assert sum(cloud["y"]) == 2
    assert {tuple(line["x"]) for line in lines} == {(0.6, 0.6), (0.4, 0.4, None, 0.6, 0.6), (0.08, 0.08)}
    assert all("<b>" not in trace["name"] for trace in figures["distribution"]["data"])
    assert "&lt;b&gt;evil&lt;/b&gt;" in figures["losses"]["layout"]["yaxis"]["tickvals"]


def test_recipes_are_set_against_the_first(runs: Path) -> None:
    names = ("kernel_distance", "kernel_distance_error", "read_correctly", "read_correctly_error")
    shared = {"loss_error": 0.001, "seconds": 9.0, "seeds": [0, 1], **dict.fromkeys(names)}
    rows = [
        {"recipe": "diffusion", "loss": 0.2, "difference": 0.0, "difference_error": 0.0, **shared},
        {"recipe": "logit", "loss": 0.1, "difference": -0.1, "difference_error": 0.02, **shared},
    ]
    result = {"kept": {"blocks": [0]}, "loss_full": 0.05, "loss_pruned": 0.9, "rows": rows}
    table = recipes_table(stored(runs, RecipesConfig.create(run="x"), "r", result))
    assert table.labels == ["diffusion", "logit", "right after the cut", "full model"]
    assert [column.name for column in table.columns] == ["recipe", "loss", "difference", "seconds"]
    assert table.rows[1].errors == (None, 0.001, 0.02, None)


def test_samples_tell_what_an_image_costs(runs: Path) -> None:
    rows = [
        {
            **{"model": "digits-dit", "depth": {"blocks": 12}, "parameters": 5, "seconds_per_image": 0.1},
            **{"timed_rounds": 3, "speedup": 1.0, "png": "samples-0.png"},
        }
    ]
    table = samples_table(stored(runs, SampleConfig.create(n=7), "s", {"models": rows}))
    assert table.rows[0].values == ("digits-dit", 12, 5, 0.1, 1.0, None)
    assert "7 images" in table.note and "3 rounds" in table.note


def test_scores_of_one_setting_share_columns_and_the_note_names_it(runs: Path) -> None:
    table = score_table([stored(runs, EvaluateConfig.create(), "e", evaluation()).result()])
    labels = [column.label for column in table.columns]
    assert labels == ["Model", "Blocks", "Weights", "FID", "Accuracy"]
    assert table.labels == ["full", "half", "Real against real"]
    assert table.rows[1].values == ("half", 6, 600, 2.0, pytest.approx(0.7))
    assert table.rows[1].error(3) == pytest.approx((1.8, 2.2))
    assert table.rows[2].aside and table.rows[2].values[3:] == (0.25, None)
    for words in (
        "digit-reader",
        "1,000 samples",
        "ddpm 50 steps",
        "guidance 1.5",
        "seed 0",
        "FID: biased",
        "899 and 898",
    ):
        assert words in table.note
    for column in table.columns[3:]:  # in CSV and JSON every score names its setting itself
        assert "digit-reader" in column.name and "50 steps" in column.name


def test_scores_of_two_settings_never_share_a_column(runs: Path) -> None:
    two = [
        stored(runs, EvaluateConfig.create(steps=steps), f"e{steps}", evaluation(steps=steps, fid=steps / 50))
        for steps in (50, 20)
    ]
    table = score_table([run.result() for run in two])
    fids = [column for column in table.columns if column.label.startswith("FID")]
    assert len(fids) == 2 and "50 steps" in fids[0].label and "20 steps" in fids[1].label
    assert [table.column(column.name)[0] for column in fids] == [1.0, 0.4]
    assert len({column.name for column in table.columns}) == len(table.columns)


def test_another_model_of_the_same_name_has_a_row_of_its_own(runs: Path) -> None:
    other = evaluation(fid=5.0)
    other["rows"][0]["source"] = "elsewhere"
    table = score_table(
        [
            stored(runs, EvaluateConfig.create(), name, result).result()
            for name, result in (("a", evaluation()), ("b", other))
        ]
    )
    assert len(table.labels) == len(set(table.labels)) >= 4
    fid = table.column(table.columns[3].name)
    assert 1.0 in fid and 5.0 in fid


def test_costs_are_compared_within_a_batch_size_only(runs: Path) -> None:
    run = stored(runs, CostConfig.create(), "k", COST)
    table = cost_table(run)
    assert table.labels == ["full", "Evenly spaced", "full, cache interval:2"] * 2
    assert table.column("limit") == [1, 2, None, 1, 2, None]
    assert table.rows[0].error(table.index("seconds")) == pytest.approx((0.09, 0.12))
    page = table_html(table, "full")
    assert "× 16" not in page and page.count("tl-pin") == 2
    sizes = size_table(run)
    assert sizes.column("parameters_total") == [1230, 630, 1230]
    assert sizes.column("macs_blocks") == [1_200_000, 600_000, 1_200_000]


def test_scores_at_equal_seconds_are_there_only_if_they_were_measured(runs: Path) -> None:
    table = equal_seconds_table(stored(runs, CostConfig.create(), "k", COST))
    assert table is not None and table.column("steps") == [20, 10] and table.column("fid") == [2.0, 4.0]
    assert equal_seconds_table(stored(runs, CostConfig.create(), "none", {**COST, "equal_seconds": None})) is None


@pytest.mark.parametrize(
    ("config", "result"),
    [
        (CompareConfig.create(), {"rows": [{"method": "first"}], "full": {}}),
        (CompareConfig.create(), {"rows": 7}),
        (EvaluateConfig.create(), {"rows": [{"scores": {"fid": {"value": "<img>"}}}]}),
        (CostConfig.create(), {"rows": [{"model": 9}], "models": []}),
        (SampleConfig.create(), {"models": [None]}),
        (RecipesConfig.create(run="x"), {"rows": [{"recipe": "a"}]}),
    ],
)
def test_a_result_of_another_shape_is_refused_in_one_line(runs: Path, config: Any, result: dict[str, Any]) -> None:
    run = stored(runs, config, "odd", result)
    with pytest.raises(BadRequest, match="run odd has stored is damaged") as problem:
        section_of(run)
    assert "\n" not in str(problem.value) and len(str(problem.value)) < 250
