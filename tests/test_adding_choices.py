"""Adding a loss, a warm start, an estimator or a sampler takes a function and its row: everything else follows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest
import torch
from memory_recorder import MemoryRecorder
from torch import Tensor

from app.page.fields import offer_samplers
from app.tabs.finetune_fields import only_used, plain_fields
from app.views.settings import choices, in_use, menu
from tinylab.cli.parser import build_parser
from tinylab.config import FinetuneConfig, SampleConfig, SearchConfig
from tinylab.config.choices import ESTIMATORS, LOSSES, SAMPLERS, WARM_STARTS
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.presets import finetune_config
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.registry import Rows
from tinylab.sampling.base import Sampling
from tinylab.sampling.generate import Settings, generate
from tinylab.training.loop import run_loop
from tinylab.training.losses import Outputs, Terms
from tinylab.training.recover import recover
from tinylab.training.search import SearchTask
from tinylab.training.warm_starts import WarmUp

SHORT: dict[str, Any] = {"steps": 2, "batch_size": 4, "log_every": 1}
DOUBLED: list[str] = []  # blocks that the made-up warm start changed


def absolute(outputs: Outputs, share: float, config: FinetuneConfig) -> Terms:
    """A made-up loss: alpha times the loss against the teacher, and the mean absolute error of hidden states."""
    states = outputs.errors(lambda h, taught: (h - taught).abs().flatten(1).mean(dim=1)).mean(dim=0)
    return Terms(config.alpha * outputs.kd + states, {"kd": outputs.kd, "absolute": states})


def double(given: WarmUp) -> None:
    """A made-up warm start: all weights of the last block, twice as large."""
    for stack, blocks in given.student.block_stacks().items():
        for parameter in blocks[-1].parameters():
            parameter.data *= 2
        DOUBLED.append(stack)


def straight_through(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    """A made-up estimator: the one-hot choice with the gradient of the softmax without noise."""
    hard = torch.zeros_like(noise).scatter_(1, (logits + noise).detach().argmax(dim=1, keepdim=True), 1.0)
    soft = (logits / tau).softmax(dim=1).expand_as(hard)
    return hard - soft.detach() + soft


def one_jump(sampling: Sampling) -> Iterator[Tensor]:
    """A made-up sampler: from pure noise straight to the model's guess of the image."""
    chain: Any = sampling.objective
    x, last = sampling.start(), torch.tensor(chain.num_steps - 1)
    yield chain.predict(sampling.predict(x, last), x, last.expand(len(x))).x_start


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The four rows, for one test."""
    registries: tuple[Rows[Any, Any], ...] = (LOSSES, WARM_STARTS, ESTIMATORS, SAMPLERS)
    for registry in registries:
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    facts: dict[str, Any] = {"needs": "states", "settings": ("alpha", "layer_map")}
    LOSSES.register("absolute", f"{__name__}:absolute", label="Absolute KD", summary="by absolute errors", **facts)
    WARM_STARTS.register("double", f"{__name__}:double", label="doubled", summary="the last block, twice")
    ESTIMATORS.register("straight", f"{__name__}:straight_through", label="ST", summary="straight through", tau=0.5)
    SAMPLERS.register("jump", f"{__name__}:one_jump", label="Jump", summary="in one step", families=("dit",))


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        build_parser().parse_args([command, "--help"])
    return re.sub(r"\s+", " ", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("command", "config", "field", "name", "words"),
    [
        ("finetune", FinetuneConfig, "loss", "absolute", "absolute (by absolute errors)"),
        ("finetune", FinetuneConfig, "warm_start", "double", "double (the last block, twice)"),
        ("search", SearchConfig, "estimator", "straight", "straight (straight through)"),
        ("sample", SampleConfig, "sampler", "jump", "jump (dit: in one step)"),
        ("evaluate", SampleConfig, "sampler", "jump", "jump (dit: in one step)"),
    ],
)
def test_the_config_takes_the_name_and_help_and_errors_list_it(
    command: str, config: Any, field: str, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert getattr(config.create(**{field: name}), field) == name
    assert words in help_of(command, capsys)
    with pytest.raises(BadRequest, match=f"{field.replace('_', '-')}: input should be .* or '{name}' .got 'magic'"):
        config.create(**{field: "magic"})


def test_the_menus_of_the_app_offer_it() -> None:
    assert ("Absolute KD", "absolute") in choices("loss")
    assert ("doubled", "double") in choices("warm_start")
    assert ("ST", "straight") in menu(ESTIMATORS)
    assert ("Jump", "jump") in offer_samplers("digits-dit").choices
    assert ("Jump", "jump") not in offer_samplers("digits-sit").choices
    with gr.Blocks():
        assert ("Absolute KD", "absolute") in plain_fields()["loss"].choices


def test_the_form_shows_the_settings_of_the_loss() -> None:
    values = finetune_config("quick", loss="absolute").model_dump()
    assert {name for name in ("alpha", "beta", "mask", "layer_map") if in_use(name, values)} == {"alpha", "layer_map"}
    *_, loss, heading = only_used("quick", values)
    assert (loss["info"], heading["visible"]) == ("by absolute errors", True)


def test_a_recovery_starts_from_the_warm_start_and_learns_by_the_loss(build_tiny: Callable[..., Denoiser]) -> None:
    teacher, memory = build_tiny("dit"), MemoryRecorder()
    plan = DepthPlan({"blocks": (0, 3)}, {"blocks": 4}, "test")
    student = apply_plan(teacher, plan)
    DOUBLED.clear()
    config = FinetuneConfig.create(**SHORT, loss="absolute", alpha=0.25, warm_start="double", lr=1e-9)
    recover(
        student,
        teacher,
        plan,
        objective_for(teacher),
        load_digits()[0],
        config,
        checkpoints=None,
        recorder=memory,
        warm_recorder=MemoryRecorder(),
    )
    assert DOUBLED == ["blocks"]
    given, found = teacher.state_dict()["blocks.3.mlp.fc1.weight"], student.state_dict()["blocks.1.mlp.fc1.weight"]
    assert torch.allclose(found, 2 * given, atol=1e-6)
    assert memory.steps == [1, 2]
    for record in memory.records.values():
        assert record.scalars["loss"] == pytest.approx(
            0.25 * record.scalars["kd"] + record.scalars["absolute"], rel=1e-5
        )


def test_a_search_learns_by_the_estimator_where_it_has_a_rule(build_tiny: Callable[..., Denoiser]) -> None:
    model, memory = build_tiny("dit"), MemoryRecorder()
    config = SearchConfig.create(**SHORT, estimator="straight", pattern="1:2")
    task = SearchTask(model, objective_for(model), load_digits()[0], config)
    before = [group.logits.detach().clone() for group in task.mask.groups["blocks"]]  # type: ignore[index,union-attr]
    run_loop(task, config, None, memory)
    assert [record.scalars["tau"] for record in memory.records.values()] == [0.5, 0.5]
    for group, logits in zip(task.mask.groups["blocks"], before, strict=True):  # type: ignore[index,arg-type]
        assert not torch.equal(group.logits, logits)
    budget = SearchConfig.create(**SHORT, estimator="straight", pattern="keep=2")
    task = SearchTask(model, objective_for(model), load_digits()[0], budget)
    with pytest.raises(BadRequest, match="'straight' has no rule for one budget .* use gumbel, reinmax, reinforce"):
        run_loop(task, budget, None, MemoryRecorder())


def test_images_are_sampled_by_the_sampler(build_tiny: Callable[..., Denoiser]) -> None:
    model = build_tiny("dit")
    done: list[int] = []
    images = generate(
        model, objective_for(model), torch.tensor([3, 1]), Settings("jump", steps=7, guidance=1.0), on_step=done.append
    )
    assert images.shape == (2, 1, 8, 8) and images.isfinite().all()
    assert done == [1]  # in one step, whatever was asked for
