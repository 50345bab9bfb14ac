"""What a run that a stranger made up may not do: run scripts, read others' runs, take time or memory without end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from measured_results import COST
from packed_runs import archived, full_run
from public_lab import public_settings
from run_folders import make_run

from app.access.allowed import check_allowed, check_may_go_on
from app.access.keeping import take_in
from app.access.visitors import HOME, Visitor
from app.views import search
from tinylab.config import CostConfig, FinetuneConfig, JobConfig, RecipesConfig, SearchConfig, StudyConfig, TrainConfig
from tinylab.errors import BadRequest
from tinylab.models.families import MOST_BLOCKS, history_fits
from tinylab.models.load import save_model
from tinylab.pruning.plan import DepthPlan
from tinylab.reports import names
from tinylab.reports.readable import check_readable
from tinylab.reports.reading import searched_depth
from tinylab.runs.metrics_db import MetricsWriter
from tinylab.runs.owner import owner_of, write_owner
from tinylab.runs.run import Run
from tinylab.runs.store import new_run
from tinylab.training.recorder import StepRecord

ANNA, BEN = Visitor("anna", stranger=True), Visitor("ben", stranger=True)
SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A public lab."""
    with public_settings(monkeypatch) as found:
        yield found


def of(visitor: Visitor, run: Run) -> Run:
    write_owner(run.path, visitor.name)
    return run


def test_stacks_of_blocks_have_names(runs: Path) -> None:
    run = make_run(runs, SearchConfig.create(pattern="1:2"), "search-1", step=1, steps=1)
    stacks = [f"{SCRIPT}a", f"{SCRIPT}b"]
    vectors = {f"keep/{s}": [0.5] * 4 for s in stacks} | {f"decision/{s}": [0.0, 2.0] for s in stacks}
    writer = MetricsWriter(run.metrics_path)
    writer.write(1, StepRecord({"loss": 1.0, **{f"confidence/{s}/{i}": 0.5 for s in stacks for i in (0, 1)}}, vectors))
    writer.close()
    with pytest.raises(ValueError, match="cannot be a stack"):
        search.view(run)
    with pytest.raises(BadRequest):
        check_readable(run)
    assert searched_depth({"keep/blocks": [0.5] * 3, "keep/single_transformer_blocks": [1.0]}) == {
        "blocks": 3,
        "single_transformer_blocks": 1,
    }


def test_names_of_blocks_are_escaped() -> None:
    assert SCRIPT not in search._line([f"{SCRIPT}0", f"{SCRIPT}1"], [f"{SCRIPT}0"], 0.5)


def test_plans_of_more_blocks_than_any_model_has_are_refused() -> None:
    with pytest.raises(BadRequest, match="no model has more"):
        DepthPlan({"blocks": (0,)}, {"blocks": 10**9}, "by hand")
    with pytest.raises(BadRequest, match="no model has more"):
        DepthPlan({f"s{i}": (0,) for i in range(40)}, {f"s{i}": 1 for i in range(40)}, "by hand")
    assert history_fits({"blocks": [0]}, {"blocks": MOST_BLOCKS}, {"blocks": 1})
    assert not history_fits({"blocks": [0]}, {"blocks": MOST_BLOCKS + 1}, {"blocks": 1})


def test_tables_of_thousands_of_rows_are_not_taken_in(runs: Path) -> None:
    run = make_run(runs, CostConfig.create(), "cost-1")
    run.write_result(COST)
    check_readable(run)
    run.write_result({**COST, "rows": [{**row, "batch": i} for i in range(400) for row in COST["rows"]]})
    with pytest.raises(BadRequest, match="damaged"):
        check_readable(run)


def test_run_goes_on_only_with_a_model_that_is_ones_own(runs: Path, build_tiny_dit: Any) -> None:
    annas = of(ANNA, make_run(runs, FinetuneConfig.create(indices=(0,)), "annas"))
    save_model(build_tiny_dit(), annas.model_path, card="")
    config = FinetuneConfig.create(model="digits-dit", indices=(0, 1), steps=1)
    bens = of(BEN, make_run(runs, config, "bens", state="stopped"))
    DepthPlan.of([0, 1], {"blocks": 4}, "indices", model=str(annas.path)).save(bens.plan_path)
    check_allowed(config, BEN)
    with pytest.raises(BadRequest, match="'annas' is not yours to load"):
        check_may_go_on(bens, BEN)
    check_may_go_on(bens, HOME)
    DepthPlan.of([0, 1], {"blocks": 12}, "indices", model="digits-dit").save(bens.plan_path)
    check_may_go_on(bens, BEN)


def test_plan_of_a_run_is_weighed_too(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = of(ANNA, make_run(runs, SearchConfig.create(), "searched"))
    DepthPlan.of([0, 1], {"blocks": 12}, "by hand", model="digits-dit").save(searched.plan_path)
    with public_settings(monkeypatch, TINYLAB_MAX_WEIGHTS="1"):
        check_allowed(FinetuneConfig.create(steps=9, run="searched"), ANNA)
    monkeypatch.setattr("app.access.allowed.describe_model", lambda name: type("Info", (), {"parameters": 2e6}))
    with public_settings(monkeypatch, TINYLAB_MAX_WEIGHTS="1"), pytest.raises(BadRequest, match="at most 1 million"):
        check_allowed(FinetuneConfig.create(steps=9, run="searched"), ANNA)


@pytest.mark.parametrize(
    "config",
    [StudyConfig.create(), RecipesConfig.create(indices=(0,)), TrainConfig.create()],
    ids=lambda config: config.kind,
)
def test_jobs_that_the_page_does_not_offer_are_not_done_for_strangers(config: JobConfig) -> None:
    with pytest.raises(BadRequest, match="a public lab does not do"):
        check_allowed(config, ANNA)
    check_allowed(config, HOME)


@pytest.mark.parametrize("changes", [{"tracker": "wandb"}, {"compile": True}])
def test_nothing_is_sent_elsewhere_and_nothing_compiled_for_strangers(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="a public lab leaves it"):
        check_allowed(SearchConfig.create(steps=9, **changes), ANNA)


def test_what_runs_of_strangers_are_called_cannot_be_guessed(runs: Path, tmp_path: Path) -> None:
    mine, theirs = new_run(SearchConfig.create()), new_run(SearchConfig.create(), owner="anna")
    assert len(theirs.id) == len(mine.id) + 13 and owner_of(theirs) == "anna"
    packed = archived(full_run(runs), tmp_path / "a.zip")
    taken = take_in(packed, ANNA)
    assert taken.id.startswith("search-1-") and len(taken.id) == len("search-1-") + 12
    assert owner_of(taken) == "anna"


def test_times_of_a_run_that_was_taken_in_are_possible(runs: Path, tmp_path: Path) -> None:
    run = full_run(runs, seconds=-1e11, created=1e11, heartbeat=-5.0, state="stopped")
    status = take_in(archived(run, tmp_path / "a.zip"), ANNA).stored_status()
    assert status.seconds == status.heartbeat == 0.0
    assert 1.7e9 < status.created < 1e10


def test_labels_ask_nobody_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinylab.models.hub.transfer.fetch", lambda *_: pytest.fail("the Hub was asked"))
    assert names.model_label("hub:org/model@0123456789abcdef0123456789abcdef01234567")
