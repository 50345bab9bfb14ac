"""Estimators, objectives, budgets, decision rules and several seeds, on models whose best cut is known."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from adders import Adders
from memory_recorder import MemoryRecorder

from tinylab.config import SearchConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.errors import BadRequest
from tinylab.jobs.execute import execute, start_run
from tinylab.jobs.search import agreement
from tinylab.metrics.denoising import noised_batches
from tinylab.pruning.budget_mask import BudgetMask
from tinylab.training.loop import run_loop
from tinylab.training.perturbation import decide_by_perturbation
from tinylab.training.search import SearchTask

QUICK = {"steps": 60, "batch_size": 32, "weights": "frozen", "lr_mask": 1e-2}


def _searched(tmp_path, constants, **changes) -> SearchTask:
    config = SearchConfig.create(**{**QUICK, **changes})
    task = SearchTask(Adders(constants), GaussianDiffusion(), load_digits()[0], config)
    run_loop(task, config, tmp_path, MemoryRecorder())
    return task


@pytest.mark.parametrize("pattern", ["2:4", "1:2", "keep=2"])
@pytest.mark.parametrize("estimator", ["gumbel", "reinmax", "reinforce"])
def test_every_estimator_finds_the_blocks_that_do_no_harm(estimator, pattern, tmp_path):
    task = _searched(tmp_path, [2.0, 0.0, 0.0, 1.0], estimator=estimator, pattern=pattern)
    assert task.decision() == {"blocks": (1, 2)}
    assert task.verdict().decided


def test_a_distilling_search_keeps_what_the_full_model_says(tmp_path):
    """The full model says 3; leaving out the blocks of size 0 changes nothing, however bad a prediction 3 is."""
    task = _searched(tmp_path, [2.0, 0.0, 0.0, 1.0], pattern="2:4", objective="distill")
    assert task.decision() == {"blocks": (0, 3)}


@pytest.mark.parametrize("pattern", ["1:2", "2:4", "keep=2"])
def test_a_decision_by_perturbation_sees_what_the_logits_do_not(pattern, tmp_path):
    """One step leaves the logits undecided; the loss of each group's options tells the blocks apart all the same."""
    task = _searched(tmp_path, [2.0, 0.0, 0.0, -1.0], pattern=pattern, steps=1, lr_mask=1e-9)
    batches = list(noised_batches(task.objective, task.data, 64, 0, task.device))
    assert decide_by_perturbation(task, batches) == {"blocks": (1, 2)}
    assert not task.verdict().decided and "hardly moved" in task.verdict().lines[0]


def test_a_mixed_pattern_keeps_what_each_group_allows(tmp_path):
    task = _searched(tmp_path, [0.0, 2.0, 2.0, 0.0, 0.0, 0.0], pattern="1:3,2:3", steps=20)
    assert task.decision()["blocks"][0] == 0 and len(task.decision()["blocks"]) == 3


def test_a_budget_of_time_weighs_blocks_by_their_own_cost(tmp_path):
    seconds = {"blocks": [0.3, 0.1, 0.1, 0.1]}
    config = SearchConfig.create(**QUICK, pattern="time=0.5")
    task = SearchTask(Adders([0.0, 2.0, 0.0, 0.0]), GaussianDiffusion(), load_digits()[0], config, seconds=seconds)
    assert isinstance(task.mask, BudgetMask) and task.mask.costs == [100, 33, 33, 33]
    run_loop(task, config, tmp_path, MemoryRecorder())
    assert task.decision() == {"blocks": (0,)}  # as long as the three others, one of which does harm


def test_copies_that_do_not_divide_the_batch_are_refused():
    config = SearchConfig.create(batch_size=10, estimator="reinforce", pattern="2:4")
    with pytest.raises(BadRequest, match="batch-size 10 is no multiple of the 4 copies"):
        SearchTask(Adders([0.0] * 4), GaussianDiffusion(), load_digits()[0], config)


def test_trial_steps_change_nothing(tmp_path):
    task = _searched(tmp_path, [2.0, 0.0, 0.0, -1.0], pattern="2:4", steps=2)
    before = {key: value.clone() for key, value in task.mask.state_dict().items()}
    for step in task.trial_steps().values():
        step()
    assert all(torch.equal(value, before[key]) for key, value in task.mask.state_dict().items())
    assert task.mask.training and task.way == "exact"
    assert all(p.grad is None for p in task.mask.parameters())


def test_a_compiled_search_takes_the_same_steps(build_tiny_dit, tmp_path, monkeypatch):
    """Through torch's own tracer, with the backend that is quick to build; the default one is timed by the bench."""
    compiled_parts, compile_part = [], partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", lambda part, **how: compiled_parts.append(part) or compile_part(part, **how))
    found = []
    for compiled in (False, True):
        config = SearchConfig.create(pattern="2:4", steps=2, batch_size=8, compile=compiled, lora_rank=2)
        task = SearchTask(build_tiny_dit(), GaussianDiffusion(), load_digits()[0], config)
        run_loop(task, config, tmp_path / str(compiled), MemoryRecorder())
        assert bool(compiled_parts) == compiled
        found.append(torch.cat([p.detach().flatten() for p in (*task.mask.parameters(), *task.model.parameters())]))
    assert torch.allclose(*found, atol=1e-5)


def test_agreement_tells_what_is_always_sometimes_and_never_kept():
    found = agreement([{"blocks": (0, 1)}, {"blocks": (0, 2)}], {"blocks": 4})
    assert found == {"always": ["0"], "never": ["3"], "sometimes": {"1": 0.5, "2": 0.5}}


def _config(model, **changes) -> SearchConfig:
    values = {"steps": 4, "batch_size": 8, "lora_rank": 2, "log_every": 2, "checkpoint_every": 2, **changes}
    return SearchConfig.create(model=model, **values)


def test_several_seeds_are_searched_one_after_the_other_and_agree_on_something(tiny_folder):
    run = start_run(_config(tiny_folder, seeds="0-2", pattern="1:2"))
    result = execute(run, quiet=True)
    assert [one["seed"] for one in result["searches"]] == [0, 1, 2]
    agreed = result["agreement"]
    assert {*agreed["always"], *agreed["sometimes"], *agreed["never"]} == {"0", "1", "2", "3"}
    assert len(result["kept"]["blocks"]) == 2
    single = execute(start_run(_config(tiny_folder, seed=2, pattern="1:2", skip=result["way"])), quiet=True)
    assert list(result["searches"][2]["kept"]["blocks"]) == single["kept"]["blocks"]


@pytest.mark.parametrize("pattern", ["keep=2", "time=0.5", "1:2,1:2"])
def test_a_search_as_a_job_says_how_it_ran_and_whether_it_decided(pattern, tiny_folder):
    run = start_run(_config(tiny_folder, pattern=pattern, decision="perturbation"))
    result = execute(run, quiet=True)
    assert len(result["kept"]["blocks"]) == 2
    assert result["way"] in ("dense", "exact")
    assert result["decided"] == (not any("hardly" in line or "decided" in line for line in result["remarks"]))
    again = execute(start_run(_config(tiny_folder, pattern=pattern, skip="sampled")), quiet=True)
    assert again["way"] == "sampled"
