"""The mask search as a training task."""

from __future__ import annotations

import pytest
import torch
from adders import Adders
from memory_recorder import MemoryRecorder

from tinylab.config import SearchConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.errors import Stopped
from tinylab.training.loop import run_loop
from tinylab.training.search import SearchTask, mask_record


def _task(model, **changes):
    values = {"model": "tiny", "pattern": "2:4", "steps": 6, "batch_size": 4, "log_every": 2, **changes}
    config = SearchConfig.create(**values)
    return SearchTask(model, objective_for(model), load_digits()[0], config), config


@pytest.mark.parametrize("weights", ["lora", "full", "frozen"])
def test_the_masks_move_and_the_given_model_does_not(weights, tiny_dit, tmp_path):
    before = {name: value.clone() for name, value in tiny_dit.state_dict().items()}
    task, config = _task(tiny_dit, weights=weights)
    run_loop(task, config, tmp_path, MemoryRecorder())
    assert task.mask.groups["blocks"][0].logits.std() > 0
    assert all(torch.equal(value, before[name]) for name, value in tiny_dit.state_dict().items())
    own = dict(task.model.named_parameters())
    moved = [name for name, value in own.items() if name in before and not torch.equal(value, before[name])]
    assert bool(moved) == (weights == "full")
    lora = [p for name, p in own.items() if "lora_B" in name]
    assert bool(lora) == (weights == "lora") == any(p.abs().sum() > 0 for p in lora)


def test_lora_sits_on_every_linear_of_every_block_and_starts_as_nothing(tiny_dit):
    x, t, y = torch.randn(2, 1, 8, 8), torch.tensor([5, 900]), torch.tensor([1, 2])
    task, _ = _task(tiny_dit)
    assert torch.equal(task.model.eval()(x, t, y), tiny_dit(x, t, y))
    names = {name for name, _ in task.model.named_parameters() if "lora_A" in name}
    assert len(names) == 4 * 5  # qkv, proj, fc1, fc2 and adaLN of four blocks


def test_the_temperature_falls_linearly_from_start_to_end(tiny_dit):
    task, config = _task(tiny_dit, steps=5)
    taus = [task.tau(step) for step in range(5)]
    assert taus == pytest.approx([4.0, 3.025, 2.05, 1.075, 0.1])


def test_reinmax_keeps_the_temperature_at_which_it_is_exact(tiny_dit):
    task, config = _task(tiny_dit, steps=5, estimator="reinmax")
    assert [task.tau(step) for step in range(5)] == [1.0] * 5


def test_a_record_holds_everything_a_viewer_needs(tiny_dit, tmp_path):
    task, config = _task(tiny_dit, pattern="1:2")
    memory = MemoryRecorder()
    run_loop(task, config, tmp_path, memory)
    record = memory.records[6]
    assert {"loss", "tau", "confidence/blocks/0", "entropy/blocks/1"} <= set(record.scalars)
    assert len(record.vectors["keep/blocks"]) == 4
    assert sum(record.vectors["keep/blocks"]) == pytest.approx(2, abs=1e-4)
    assert sum(record.vectors["options/blocks/1"]) == pytest.approx(1, abs=1e-4)
    assert tuple(record.vectors["decision/blocks"]) == task.decision()["blocks"]


def test_entropy_is_one_for_an_undecided_mask(tiny_dit):
    scalars, _ = mask_record(_task(tiny_dit)[0].mask)
    assert scalars["entropy/blocks/0"] == pytest.approx(1)
    assert scalars["confidence/blocks/0"] == pytest.approx(1 / 6)


def test_blocks_that_spoil_the_prediction_are_learned_away(tmp_path):
    model = Adders([2.0, 0.0, 0.0, -1.0])
    objective, data = GaussianDiffusion(), load_digits()[0]
    config = SearchConfig.create(pattern="2:4", steps=60, batch_size=32, weights="frozen", lr_mask=1e-2)
    task = SearchTask(model, objective, data, config)
    run_loop(task, config, tmp_path, MemoryRecorder())
    assert task.decision() == {"blocks": (1, 2)}
    assert mask_record(task.ema.module)[0]["confidence/blocks/0"] > 0.9


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_a_stopped_search_ends_as_if_it_had_never_stopped(weights, build_tiny_dit, tmp_path):
    straight, config = _task(build_tiny_dit(), weights=weights)
    run_loop(straight, config, tmp_path / "a", MemoryRecorder())
    broken, _ = _task(build_tiny_dit(), weights=weights)
    with pytest.raises(Stopped):
        run_loop(broken, config, tmp_path / "b", MemoryRecorder(stop_at=3))
    resumed, _ = _task(build_tiny_dit(), weights=weights)
    run_loop(resumed, config, tmp_path / "b", MemoryRecorder())
    for name in ("mask", "ema", "model"):
        wanted, found = straight.modules[name].state_dict(), resumed.modules[name].state_dict()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)
