"""Recovery: a cut model is trained on, taught by its teacher, and a run that was cut off ends like one that was not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from memory_recorder import MemoryRecorder
from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.config.choices import LOSSES
from tinylab.data.digits import ImageSplit, load_digits
from tinylab.diffusion import objective_for
from tinylab.errors import BadRequest, Stopped
from tinylab.models.base import Denoiser
from tinylab.presets import FINETUNE_RECIPES, finetune_config
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.loop import run_loop
from tinylab.training.recover import RecoverTask, recover

SHORT: dict[str, Any] = {"steps": 6, "batch_size": 4, "log_every": 1, "checkpoint_every": 2, "warmup": 2, "lr": 0.01}
TERMS = {
    **{"diffusion": set(), "logit": {"kd"}},
    **{name: {"kd", "features"} for name in ("feature", "masked-kd", "normalised", "bksdm")},
}


def data() -> ImageSplit:
    train, _ = load_digits()
    return ImageSplit(train.images[:10], train.labels[:10])


def task_for(teacher: Denoiser, config: FinetuneConfig) -> RecoverTask:
    (stack, count), *others = teacher.stack_depths().items()
    plan = DepthPlan({stack: (0, count - 1), **{name: (0, 1) for name, _ in others}}, teacher.stack_depths(), "test")
    return RecoverTask(apply_plan(teacher, plan), teacher, plan, objective_for(teacher), data(), config)


@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
@pytest.mark.parametrize("loss", LOSSES.names())
def test_every_term_has_a_curve(build_tiny: Callable[..., Denoiser], tmp_path: Path, loss: str, family: str) -> None:
    config = FinetuneConfig.create(**SHORT, loss=loss)
    task, memory = task_for(build_tiny(family), config), MemoryRecorder()
    run_loop(task, config, tmp_path, memory)
    for record in memory.records.values():
        assert record.scalars.keys() >= {"loss", "mse", "vb", "lr", *TERMS[loss]}
        assert not record.scalars.keys() & ({"kd", "features"} - TERMS[loss])


def test_the_loss_is_the_weighted_sum_of_its_curves_with_a_fading_beta(
    build_tiny: Callable[..., Denoiser], tmp_path: Path
) -> None:
    config = FinetuneConfig.create(**SHORT, loss="masked-kd", alpha=0.75, beta=2.0)
    task, memory = task_for(build_tiny("dit"), config), MemoryRecorder()
    run_loop(task, config, tmp_path, memory)
    for step, record in memory.records.items():
        s = record.scalars
        beta = 2.0 * (1 - (step - 1) / config.steps)
        wanted = 0.75 * s["kd"] + 0.25 * (s["mse"] + s["vb"]) + beta * s["features"]
        assert s["loss"] == pytest.approx(wanted, rel=1e-5)


def test_the_teacher_is_left_as_it_is(build_tiny: Callable[..., Denoiser], tmp_path: Path) -> None:
    teacher, config = build_tiny("dit"), FinetuneConfig.create(**SHORT, loss="feature")
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    task = task_for(teacher, config)
    run_loop(task, config, tmp_path, MemoryRecorder())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not teacher.training
    student = task.model.state_dict()
    assert not torch.equal(student["blocks.1.mlp.fc1.weight"], before["blocks.3.mlp.fc1.weight"])


@pytest.mark.parametrize("warm_start", ["none", "align"])
@pytest.mark.parametrize("break_at", [1, 3, 5])
def test_a_recovery_that_was_cut_off_ends_like_one_that_was_not(
    build_tiny: Callable[..., Denoiser], tmp_path: Path, warm_start: str, break_at: int
) -> None:
    config = FinetuneConfig.create(**SHORT, loss="masked-kd", mask="joint", warm_start=warm_start, warm_steps=3)

    def recovered(folder: Path, warm: MemoryRecorder, training: MemoryRecorder) -> dict[str, Tensor]:
        teacher = build_tiny("dit")
        plan = DepthPlan({"blocks": (1, 2)}, {"blocks": 4}, "test")
        folder.mkdir(exist_ok=True)
        model = recover(
            apply_plan(teacher, plan),
            teacher,
            plan,
            objective_for(teacher),
            data(),
            config,
            checkpoints=folder,
            recorder=training,
            warm_recorder=warm,
        )
        return model.state_dict()

    straight = recovered(tmp_path / "a", MemoryRecorder(), MemoryRecorder())
    if warm_start == "align" and break_at < 3:
        with pytest.raises(RuntimeError, match="power cut"):
            recovered(tmp_path / "b", MemoryRecorder(break_at=break_at), MemoryRecorder())
    with pytest.raises(RuntimeError, match="power cut"):
        recovered(tmp_path / "b", MemoryRecorder(), MemoryRecorder(break_at=break_at))
    again = MemoryRecorder()
    resumed = recovered(tmp_path / "b", again, MemoryRecorder())
    assert again.steps == [] or break_at < config.checkpoint_every  # the warm start is not done twice
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())


def test_stopping_says_where(build_tiny: Callable[..., Denoiser], tmp_path: Path) -> None:
    config = FinetuneConfig.create(**SHORT, loss="logit")
    with pytest.raises(Stopped, match="stopped at step 3 of 6"):
        run_loop(task_for(build_tiny("sit"), config), config, tmp_path, MemoryRecorder(stop_at=3))


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1.0), ("sqrt", 0.5), ("linear", 0.25)])
def test_the_learning_rate_follows_the_batch_as_asked(
    build_tiny: Callable[..., Denoiser], tmp_path: Path, scaling: str, factor: float
) -> None:
    config = FinetuneConfig.create(**{**SHORT, "warmup": 1}, lr_scaling=scaling, lr_batch=16, lr_floor=0.5)
    assert config.rate == pytest.approx(0.01 * factor)
    memory = MemoryRecorder()
    run_loop(task_for(build_tiny("dit"), config), config, tmp_path, memory)
    rates = [record.scalars["lr"] for record in memory.records.values()]
    assert rates[0] == pytest.approx(0.01 * factor)
    assert 0.5 * rates[0] < rates[-1] < 0.6 * rates[0]


def test_recipes_fill_in_what_is_not_given() -> None:
    published = finetune_config("published", steps=7)
    assert (published.loss, published.layer_map, published.lr, published.steps) == ("masked-kd", "published", 2e-4, 7)
    assert (published.rate, published.lr_floor * published.rate) == (2e-4, 1e-4)
    assert finetune_config("plain").loss == "diffusion"
    assert finetune_config("quick") == FinetuneConfig.create()
    with pytest.raises(BadRequest, match=f"unknown recipe 'slow'; choose one of: {', '.join(FINETUNE_RECIPES)}"):
        finetune_config("slow")
