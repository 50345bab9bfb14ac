"""The exact way of gating is the dense formula: outputs, every gradient, and what AdamW makes of them."""

from __future__ import annotations

import pytest
import torch
from golden_values import relative_error
from memory_recorder import MemoryRecorder
from skip_cases import WEIGHTS, count_rows, difference, draw_masks, move_weights, step
from torch.nn.functional import mse_loss

from tinylab.config import SearchConfig
from tinylab.data.order import step_generator
from tinylab.errors import BadRequest
from tinylab.pruning.gates import WAYS, gated
from tinylab.training.loop import run_loop
from tinylab.training.recorder import StepRecord

PATTERNS = ("1:2", "2:4", "1:4", "3:4")


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_losses_and_all_gradients_are_those_of_the_dense_formula(build_tiny, pattern, family, weights):
    model = move_weights(build_tiny(family), weights)
    dense, wanted = step(model, pattern, way="dense")
    exact, found = step(model, pattern, way="exact")
    assert relative_error(exact, dense) < 1e-5
    assert difference(found, wanted) < 1e-5
    assert any(key.startswith("mask.") and value.abs().sum() > 0 for key, value in found.items() if value is not None)


@pytest.mark.parametrize("column", [(0, 0, 0), (1, 1, 1), (0, 1, 0), (1,), (0,)])
def test_batches_that_agree_and_batches_of_one(tiny_dit, column):
    model = tiny_dit.double()
    results = []
    x = torch.randn(len(column), 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for way in ("dense", "exact"):
        mask = torch.ones(len(column), 4, dtype=torch.float64)
        mask[:, 1] = torch.tensor(column)
        mask.requires_grad_()
        with gated(model, {"blocks": mask}, way=way):
            out = model(x, torch.arange(len(x)) * 100, torch.arange(len(x)))
        model.zero_grad()
        out.square().mean().backward()
        results.append((out.detach(), {"mask": mask.grad} | {key: p.grad for key, p in model.named_parameters()}))
    (dense, wanted), (exact, found) = results
    trained = {key: value for key, value in wanted.items() if value is not None}
    assert relative_error(exact, dense) < 1e-12
    assert difference({key: found[key] for key in trained}, trained) < 1e-12


class _Fit:
    """Logits and weights that fit noise, in double precision: Adam magnifies the rounding errors of single."""

    def __init__(self, model, weights, way):
        self.model, self.way = move_weights(model, weights).double(), way
        mask, _ = draw_masks(self.model, "1:2", 1)
        self.mask = mask.double()
        moving = [p for p in (*self.mask.parameters(), *self.model.parameters()) if p.requires_grad]
        self.optimizer = torch.optim.AdamW(moving, lr=1e-3, weight_decay=0.0)
        self.modules = {"model": self.model, "mask": self.mask}
        self.idle = 0  # blocks that a whole batch dropped

        self.images, self.device = 2, torch.device("cpu")

    def begin(self, step):
        pass

    def batch(self, step, rows):
        return torch.randn(2, 1, 8, 8, generator=step_generator(0, step), dtype=torch.float64)[rows]

    def loss(self, step, x):
        generator = step_generator(0, step, stream=1)
        masks = self.mask.draw(2, 1.0, generator).masks
        self.idle += int((masks["blocks"].detach().round() == 0).all(dim=0).sum())
        with gated(self.model, masks, way=self.way, generator=generator):
            out = self.model(x, torch.tensor([10, 500]), torch.tensor([1, 2]))
        return mse_loss(out[:, :1], x.flip(0))

    def after_update(self, step):
        pass

    def record(self, step, loss):
        return StepRecord({"loss": loss}, {})


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_state_of_adam_after_some_steps_is_that_of_the_dense_formula(build_tiny_dit, weights):
    config = SearchConfig.create(steps=10, pattern="1:2", log_every=1)
    tasks = [_Fit(build_tiny_dit(), weights, way) for way in ("dense", "exact")]
    recorders = [MemoryRecorder(), MemoryRecorder()]
    for task, recorder in zip(tasks, recorders, strict=True):
        run_loop(task, config, None, recorder)
    dense, exact = (task.optimizer for task in tasks)
    assert tasks[0].idle == tasks[1].idle > 2
    for ours, theirs in zip(exact.param_groups[0]["params"], dense.param_groups[0]["params"], strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-10)
        assert exact.state[ours]["step"] == dense.state[theirs]["step"] == 10
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.allclose(exact.state[ours][moment], dense.state[theirs][moment], rtol=1e-7, atol=1e-15)
    losses = [[record.scalars["loss"] for record in recorder.records.values()] for recorder in recorders]
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    assert len(set(losses[0])) == 10


@pytest.mark.parametrize("way", ["exact", "sampled"])
@pytest.mark.parametrize("reason", ["hard masks", "no gradients"])
def test_dropped_samples_do_not_run_when_no_mask_learns(tiny_dit, way, reason):
    _, masks = draw_masks(tiny_dit, "1:2", 6)
    if reason == "hard masks":
        masks = {stack: mask.detach().round() for stack, mask in masks.items()}
    x = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    inputs = x, torch.arange(6), torch.arange(6)
    with torch.set_grad_enabled(reason == "hard masks"):
        with gated(tiny_dit, masks, way="dense"):
            wanted = tiny_dit(*inputs)
        sizes = count_rows(tiny_dit)
        with gated(tiny_dit, masks, way=way, generator=torch.Generator()):
            found = tiny_dit(*inputs)
    assert sum(sizes) == 6 * 4 // 2
    assert relative_error(found, wanted) < 1e-6
    if reason == "hard masks":
        gradients = []
        for out in (found, wanted):
            tiny_dit.zero_grad()
            out.square().mean().backward()
            gradients.append({key: p.grad for key, p in tiny_dit.named_parameters()})
        assert difference(*gradients) < 1e-5


def test_bad_requests_name_the_mend(tiny_dit):
    def enter(mask, **how):
        with gated(tiny_dit, {"blocks": mask}, **how):
            pass

    hard = torch.ones(2, 4)
    with pytest.raises(BadRequest, match="use dense, exact, sampled"):
        enter(hard, way="quick")
    with pytest.raises(BadRequest, match="give it a generator on the CPU"):
        enter(hard, way="sampled")
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(BadRequest, match="use one above 0 and at most 1"):
            enter(hard, way="sampled", share=share, generator=torch.Generator())
    for mask in (torch.ones(2, 3), torch.ones(2)):
        with pytest.raises(BadRequest, match=r"needs masks of the shape \(samples, 4\)"):
            enter(mask)
    for value in (0.5, float("nan")):
        with pytest.raises(BadRequest, match='take the way "dense"'):
            enter(torch.full((2, 4), value))
    enter(torch.full((2, 4), 0.5), way="dense")
    enter(torch.full((2, 4), 1 - 1e-6), way="exact")
    assert set(WAYS) == {"dense", "exact", "sampled"}
