"""The mask search on transformers of diffusers, with cached inputs."""

from __future__ import annotations

import pytest
import torch
from memory_recorder import MemoryRecorder
from tiny_transformers import TINY_TRANSFORMERS, build, inputs
from torch import nn

from tinylab.config import SearchConfig
from tinylab.data.cached import CachedInputs, Conditions
from tinylab.diffusion import objective_for
from tinylab.diffusion.adapted import AdaptedObjective
from tinylab.errors import BadRequest, Stopped
from tinylab.metrics.cost import block_seconds
from tinylab.models.adapters import adapt, load_adapted
from tinylab.models.adapters.architectures import ARCHITECTURES
from tinylab.models.load import save_model
from tinylab.pruning.gates import gated
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.loop import run_loop
from tinylab.training.search_adapted import AdaptedSearchTask

TRAINABLE = sorted(name for name, row in ARCHITECTURES.items() if row.times)
SHARED = ("img_ids", "txt_ids", "added_cond_kwargs", "num_frames", "height", "width")


def _cache(name, count=6):
    """Random latents with the conditions of `inputs`."""
    row, given = TINY_TRANSFORMERS[name], inputs(name, count)
    latents = given.pop(row.x)
    del given[row.t]
    shared = {key: given.pop(key) for key in SHARED if key in given}
    return CachedInputs(torch.stack(latents) if isinstance(latents, list) else latents, given, shared)


def _task(name, **changes):
    model = adapt(build(name))
    config = SearchConfig.create(**{"pattern": "1:2", "steps": 4, "batch_size": 4, "log_every": 2, **changes})
    return AdaptedSearchTask(model, _cache(name), config), config, model


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_few_steps_move_the_logits_of_every_class(name, tmp_path):
    task, config, model = _task(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    memory = MemoryRecorder()
    run_loop(task, config, tmp_path, memory)
    for stack, groups in task.mask.stacks().items():
        free = [group for group in groups if len(group.options) > 1]
        assert free and all(group.logits.std() > 0 for group in free), stack
    assert any(p.abs().sum() > 0 for key, p in task.model.named_parameters() if "lora_B" in key)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    plan = DepthPlan(task.decision(), model.stack_depths(), "learned")
    shallow = apply_plan(model, plan)
    save_model(shallow, tmp_path / "cut", card="")
    assert load_adapted(tmp_path / "cut").kept == {stack: list(kept) for stack, kept in plan.kept.items()}
    for stack, fixed in model.protected_blocks().items():
        assert set(fixed) <= set(plan.kept[stack])
        assert len(memory.records[4].vectors[f"keep/{stack}"]) == plan.depth[stack]


@pytest.mark.parametrize("weights", ["full", "frozen"])
def test_other_ways_for_the_weights_to_move(weights, tmp_path):
    task, config, model = _task("FluxTransformer2DModel", weights=weights)
    run_loop(task, config, tmp_path, MemoryRecorder())
    own, first = dict(task.model.named_parameters()), dict(model.named_parameters())
    assert any(not torch.equal(value, first[key]) for key, value in own.items()) == (weights == "full")


def test_a_stopped_search_ends_as_if_it_had_never_stopped(tmp_path):
    name = "DiTTransformer2DModel"
    straight, config, _ = _task(name)
    run_loop(straight, config, tmp_path / "a", MemoryRecorder())
    broken, _, _ = _task(name)
    with pytest.raises(Stopped):
        run_loop(broken, config, tmp_path / "b", MemoryRecorder(stop_at=2))
    resumed, _, _ = _task(name)
    run_loop(resumed, config, tmp_path / "b", MemoryRecorder())
    for part in ("mask", "ema", "model"):
        wanted, found = straight.modules[part].state_dict(), resumed.modules[part].state_dict()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def _train_with(model, kept, cache, steps=60):
    """Fit the model to its objective with only the blocks `kept` in use: the others only disturb it."""
    objective, optimizer = AdaptedObjective.of(model.config), torch.optim.Adam(model.parameters(), lr=1e-2)
    x, conditions = cache.batch(torch.arange(len(cache)))
    mask = torch.zeros(len(cache), 4).index_fill_(1, torch.tensor(kept), 1)
    for step in range(steps):
        draw = objective.draw(len(cache), tuple(x.shape[1:]), torch.Generator().manual_seed(step))
        with gated(model, {"transformer_blocks": mask}):
            loss = objective.losses(model, x, conditions, draw).loss.mean()
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("kept", [(1, 2), (0, 3)])
def test_blocks_that_only_disturb_are_learned_away(kept, tmp_path):
    name = "SanaTransformer2DModel"
    model, cache = adapt(build(name)), _cache(name, 24)
    _train_with(model, kept, cache)
    values = {"steps": 60, "batch_size": 24, "weights": "frozen", "lr_mask": 1e-2, "ema_decay": 0.9}
    task = AdaptedSearchTask(model, cache, SearchConfig.create(pattern="2:4", **values))
    run_loop(task, task.config, tmp_path, MemoryRecorder())
    assert task.decision() == {"transformer_blocks": kept}


class _Oracle(nn.Module):
    """Knows data and noise, and says what a class with such words should say; remembers what it was told."""

    def __init__(self, config, said):
        super().__init__()
        self.config, self.said, self.told = config, said, {}
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, **told):
        self.told = told
        return (self.said,)


@pytest.mark.parametrize(
    ("name", "more", "sign", "time"),
    [
        ("SD3Transformer2DModel", {}, 1, lambda share: 1000 * (1 - share)),
        ("FluxTransformer2DModel", {}, 1, lambda share: 1 - share),
        ("SanaTransformer2DModel", {"timestep_scale": 0.001}, 1, lambda share: 1 - share),
        ("Lumina2Transformer2DModel", {}, -1, lambda share: share),
    ],
)
def test_velocities_and_times_are_those_of_the_pipelines(name, more, sign, time):
    x, noise = torch.randn(3, 4, 4, 4), torch.randn(3, 4, 4, 4)
    oracle = _Oracle({"_class_name": name, **more}, sign * (noise - x))
    objective = AdaptedObjective.of(oracle.config)
    draw = objective.draw(3, (4, 4, 4), torch.Generator().manual_seed(0))
    draw = type(draw)(draw.t, noise)
    losses = objective.losses(oracle, x, Conditions(note=1), draw)
    assert losses.loss.max() < 1e-10
    assert torch.allclose(oracle.told["timestep"], time(draw.t))
    share = draw.t.view(3, 1, 1, 1)
    assert torch.allclose(oracle.told["hidden_states"], share * x + (1 - share) * noise)
    assert oracle.told["note"] == 1


def test_a_chain_tells_its_step_and_wants_the_noise():
    x, noise = torch.randn(3, 4, 4, 4), torch.randn(3, 4, 4, 4)
    oracle = _Oracle({"_class_name": "PixArtTransformer2DModel"}, noise)
    objective = AdaptedObjective.of(oracle.config)
    draw = objective.draw(3, (4, 4, 4), torch.Generator().manual_seed(0))
    assert objective.losses(oracle, x, Conditions(), type(draw)(draw.t, noise)).loss.max() == 0
    assert torch.equal(oracle.told["timestep"], draw.t)


def test_the_objective_is_found_by_the_class_and_unknown_ones_are_refused():
    assert isinstance(objective_for(adapt(build("FluxTransformer2DModel"))), AdaptedObjective)
    with pytest.raises(BadRequest, match="does not know how a CogVideoXTransformer3DModel is trained; it knows DiT"):
        objective_for(adapt(build("CogVideoXTransformer3DModel")))


def test_cached_inputs_must_belong_together():
    with pytest.raises(BadRequest, match="text has 2 entries for 3 latents"):
        CachedInputs(torch.zeros(3, 4), {"text": torch.zeros(2, 4)})
    with pytest.raises(BadRequest, match="there are no latents"):
        CachedInputs(torch.zeros(0, 4))
    cache = CachedInputs(torch.arange(3.0), {"text": torch.arange(3.0) + 10, "names": ["a", "b", "c"]}, {"size": 8})
    latents, conditions = cache.batch(torch.tensor([2, 0]))
    assert latents.tolist() == [2, 0]
    assert conditions["text"].tolist() == [12, 10]
    assert (conditions["names"], conditions["size"]) == (["c", "a"], 8)
    assert conditions.to(torch.device("meta"))["text"].is_meta


def test_a_budget_of_time_weighs_double_and_single_blocks_by_their_own_cost(tmp_path):
    model = adapt(build("FluxTransformer2DModel"))
    cache = _cache("FluxTransformer2DModel")
    objective = AdaptedObjective.of(model.config)
    x, conditions = cache.batch(torch.arange(4))
    draw = objective.draw(4, tuple(x.shape[1:]), torch.Generator().manual_seed(0))
    seconds = block_seconds(model.block_stacks(), lambda: objective.forward(model, x, conditions, draw))
    double, single = seconds["transformer_blocks"], seconds["single_transformer_blocks"]
    assert len(set(double)) == len(set(single)) == 1  # blocks of one kind cost the same
    assert min(double + single) > 0
    config = SearchConfig.create(pattern="time=0.6", steps=2, batch_size=4)
    seconds = {"transformer_blocks": [0.2] * len(double), "single_transformer_blocks": [0.1] * len(single)}
    task = AdaptedSearchTask(model, cache, config, seconds=seconds)
    run_loop(task, config, tmp_path, MemoryRecorder())
    kept = task.decision()
    spent = 0.2 * len(kept["transformer_blocks"]) + 0.1 * len(kept["single_transformer_blocks"])
    total = 0.2 * len(double) + 0.1 * len(single)
    assert spent <= 0.6 * total + 0.01 < spent + 0.2
    assert all(kept.values())


def test_an_estimator_with_copies_repeats_latents_and_their_conditions(tmp_path):
    task, config, _ = _task("FluxTransformer2DModel", estimator="reinforce", copies=2, pattern="keep=2")
    batch = task.batch(0, slice(None))
    x, conditions = batch.x, batch.y
    assert len(x) == config.batch_size and torch.equal(x[0], x[1]) and not torch.equal(x[1], x[2])
    assert torch.equal(conditions["pooled_projections"][0], conditions["pooled_projections"][1])
    run_loop(task, config, tmp_path, MemoryRecorder())
    assert task.mask.logits.std() > 0
