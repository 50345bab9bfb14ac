"""The training loop: a run that was stopped or cut off ends bit for bit like one that was not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from memory_recorder import MemoryRecorder
from torch import Tensor

from tinylab.config import TrainConfig
from tinylab.data.digits import ImageSplit, load_digits
from tinylab.data.order import batch_indices
from tinylab.diffusion import objective_for
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.errors import Failure, Stopped
from tinylab.models.base import Denoiser
from tinylab.models.networks.dit import DiT
from tinylab.training.batches import denoise_batch
from tinylab.training.checkpointing import latest_checkpoint
from tinylab.training.denoise import DenoiseTask
from tinylab.training.ema import Ema
from tinylab.training.loop import run_loop
from tinylab.training.recorder import StepRecord
from tinylab.training.task import cosine, set_rate

CONFIG = TrainConfig.create(
    steps=9, batch_size=4, log_every=2, checkpoint_every=4, lr=0.01, warmup=3, ema_decay=0.9, seed=3
)

BuildTask = Callable[..., DenoiseTask]
Finished = tuple[DenoiseTask, dict[int, StepRecord]]  # a task after its last step, and what was logged


@pytest.fixture
def data() -> ImageSplit:
    train, _ = load_digits()
    return ImageSplit(train.images[:10], train.labels[:10])  # 9 steps of 4 images: several epochs


@pytest.fixture
def build_task(build_tiny_dit: Callable[..., DiT], data: ImageSplit) -> BuildTask:
    def build(data: ImageSplit = data, config: TrainConfig = CONFIG) -> DenoiseTask:
        model = build_tiny_dit()
        return DenoiseTask(model, objective_for(model), data, config, floor=0.1)

    return build


def weights(task: DenoiseTask) -> dict[str, Tensor]:
    """The live weights and their averages, by `part.name`."""
    return {f"{part}.{name}": v for part, module in task.modules.items() for name, v in module.state_dict().items()}


def state(task: DenoiseTask) -> dict[str, Tensor]:
    """Everything that makes up the training: the weights and the optimizer's moments."""
    moments = task.optimizer.state_dict()["state"]
    return weights(task) | {f"optimizer.{i}.{name}": v for i, state in moments.items() for name, v in state.items()}


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


def run_until_it_ends(build_task, folder: Path, interruption: MemoryRecorder) -> Finished:
    """Interrupt once, then go on in a fresh task as a new process would; the last task and all records."""
    first = build_task()
    with pytest.raises((Stopped, RuntimeError)):
        run_loop(first, CONFIG, folder, interruption)
    second, rest = build_task(), MemoryRecorder()
    run_loop(second, CONFIG, folder, rest)
    kept = {step: record for step, record in interruption.records.items() if step <= rest.rewound[0]}
    return second, kept | rest.records


@pytest.fixture
def uninterrupted(build_task: BuildTask, tmp_path: Path) -> Finished:
    task, memory = build_task(), MemoryRecorder()
    run_loop(task, CONFIG, tmp_path / "uninterrupted", memory)
    return task, memory.records


@pytest.mark.parametrize("step", [1, 2, 4, 5, 8])
def test_stopped_and_resumed_run_equals_an_uninterrupted_one(
    build_task: BuildTask, uninterrupted: Finished, tmp_path: Path, step: int
) -> None:
    folder = tmp_path / "stopped"
    task, records = run_until_it_ends(build_task, folder, MemoryRecorder(stop_at=step))
    assert differing(state(task), state(uninterrupted[0])) == []
    assert records == uninterrupted[1]


@pytest.mark.parametrize("step", [1, 4, 7])
def test_run_cut_off_without_saving_equals_an_uninterrupted_one(
    build_task: BuildTask, uninterrupted: Finished, tmp_path: Path, step: int
) -> None:
    task, records = run_until_it_ends(build_task, tmp_path / "cut", MemoryRecorder(break_at=step))
    assert differing(state(task), state(uninterrupted[0])) == []
    assert records == uninterrupted[1]


def test_training_changes_all_weights_but_the_positions(build_task: BuildTask, uninterrupted: Finished) -> None:
    task, _ = uninterrupted
    assert set(differing(weights(task), weights(build_task()))) == weights(task).keys() - {
        "model.pos_embed",
        "ema.pos_embed",
    }


def test_stop_saves_exactly_where_it_stopped(build_task: BuildTask, tmp_path: Path) -> None:
    task = build_task()
    with pytest.raises(Stopped, match="^stopped at step 3 of 9$"):
        run_loop(task, CONFIG, tmp_path, MemoryRecorder(stop_at=3))
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 3
    assert differing(checkpoint.tensors, state(task)) == []


def test_resumed_run_first_rewinds_to_its_checkpoint(build_task: BuildTask, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        run_loop(build_task(), CONFIG, tmp_path, MemoryRecorder(break_at=7))
    memory = MemoryRecorder()
    run_loop(build_task(), CONFIG, tmp_path, memory)
    assert memory.rewound == [4]
    assert memory.steps == [5, 6, 7, 8, 9]


def test_stop_at_the_last_step_is_no_stop(build_task: BuildTask, tmp_path: Path) -> None:
    memory = MemoryRecorder(stop_at=9)
    run_loop(build_task(), CONFIG, tmp_path, memory)
    assert memory.steps[-1] == 9


def test_finished_run_computes_nothing_more(build_task: BuildTask, uninterrupted: Finished, tmp_path: Path) -> None:
    task, memory = build_task(), MemoryRecorder()
    run_loop(task, CONFIG, tmp_path / "uninterrupted", memory)
    assert (memory.steps, memory.records) == ([], {})
    assert differing(state(task), state(uninterrupted[0])) == []


def test_first_last_and_every_second_step_are_logged(uninterrupted: Finished) -> None:
    assert list(uninterrupted[1]) == [1, 2, 4, 6, 8, 9]
    for record in uninterrupted[1].values():
        assert list(record.scalars) == ["loss", "mse", "vb", "lr", "grad_norm"]
        assert record.scalars["loss"] == pytest.approx(record.scalars["mse"] + record.scalars["vb"], rel=1e-5)


def test_logged_rate_follows_the_schedule(uninterrupted: Finished) -> None:
    rates = {step: record.scalars["lr"] for step, record in uninterrupted[1].items()}
    expected = {step: 0.01 * cosine(step - 1, 9, warmup=3, floor=0.1) for step in rates}
    assert rates == pytest.approx(expected)


def test_loss_that_is_no_number_is_a_failure_with_a_mend(build_task, data: ImageSplit, tmp_path: Path) -> None:
    broken = replace(data, images=torch.full_like(data.images, float("nan")))
    with pytest.raises(Failure, match="not a number at step 1; start again with a lower learning rate"):
        run_loop(build_task(broken), CONFIG, tmp_path, MemoryRecorder())
    assert latest_checkpoint(tmp_path) is None


def test_loss_that_is_no_number_is_never_saved(build_task: BuildTask, data: ImageSplit, tmp_path: Path) -> None:
    values = {**CONFIG.model_dump(exclude={"kind"}), "log_every": 5, "checkpoint_every": 2}
    config = TrainConfig.create(**values)
    seen = {index for step in (0, 1) for index in batch_indices(len(data), 4, config.seed, step).tolist()}
    images = data.images.clone()
    images[[index for index in range(len(data)) if index not in seen]] = float("nan")  # first met in step 3
    with pytest.raises(Failure, match="not a number"):
        run_loop(build_task(replace(data, images=images), config), config, tmp_path, MemoryRecorder())
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 2
    assert all(value.isfinite().all() for value in checkpoint.tensors.values())


@pytest.mark.parametrize(("broken_at", "saved"), [(4, None), (5, 4), (8, 4)])
def test_gradient_that_is_no_number_is_never_saved(
    build_task: BuildTask, tmp_path: Path, broken_at: int, saved: int | None
) -> None:
    """Also where the loss is still finite: clipping makes NaN of an infinite gradient."""
    config = TrainConfig.create(**{**CONFIG.model_dump(exclude={"kind"}), "log_every": 100})
    task, calls = build_task(config=config), iter(range(1, 100))
    bias = task.model.get_parameter("blocks.0.mlp.fc1.bias")
    bias.register_hook(lambda gradient: gradient / 0 if next(calls) == broken_at else gradient)
    with pytest.raises(Failure, match="not a number .*start again with a lower learning rate"):
        run_loop(task, config, tmp_path, MemoryRecorder())
    checkpoint = latest_checkpoint(tmp_path)
    assert (checkpoint and checkpoint.step) == saved
    assert checkpoint is None or all(value.isfinite().all() for value in checkpoint.tensors.values())


def test_logged_gradient_norm_is_the_one_before_clipping(build_task: BuildTask, tmp_path: Path) -> None:
    values, norms = {**CONFIG.model_dump(exclude={"kind"}), "steps": 1}, []
    for clip in (1e-3, 1e9):
        config, memory = TrainConfig.create(**{**values, "clip": clip}), MemoryRecorder()
        task = build_task(config=config)
        run_loop(task, config, tmp_path / str(clip), memory)
        norms.append(memory.records[1].scalars["grad_norm"])
    gradients = [p.grad for p in task.model.parameters() if p.grad is not None]
    assert norms[0] == norms[1] == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-5)


def test_gradients_are_clipped(build_task: BuildTask, tmp_path: Path) -> None:
    config = TrainConfig.create(**{**CONFIG.model_dump(exclude={"kind"}), "steps": 1, "clip": 1e-3})
    task = build_task(config=config)
    run_loop(task, config, tmp_path, MemoryRecorder())
    gradients = [p.grad for p in task.model.parameters() if p.grad is not None]
    norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_task_is_told_of_every_step(build_tiny_dit: Callable[..., DiT], data: ImageSplit, tmp_path: Path) -> None:
    model, told = build_tiny_dit(), []
    task = DenoiseTask(model, objective_for(model), data, CONFIG, floor=0.0, on_step=lambda _, step: told.append(step))
    run_loop(task, CONFIG, tmp_path, MemoryRecorder())
    assert told == list(range(1, 10))


def test_cosine_warms_up_linearly_and_falls_to_its_floor() -> None:
    assert [cosine(step, 100, warmup=4, floor=0.0) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 1])
    assert cosine(60, 100, warmup=20, floor=0.2) == pytest.approx(0.6)
    assert cosine(100, 100, warmup=20, floor=0.2) == pytest.approx(0.2)
    assert cosine(0, 100, warmup=0, floor=0.0) == 1.0


def test_cosine_stays_in_range_when_the_warm_up_is_longer_than_the_run() -> None:
    factors = [cosine(step, 5, warmup=10, floor=0.0) for step in range(5)]
    assert factors == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_set_rate_reaches_every_group() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.AdamW([{"params": [p], "lr": 1.0} for p in parameters])
    set_rate(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
def test_a_batch_hides_its_share_of_the_classes(data: ImageSplit, share: float, expected: float) -> None:
    recipe: dict[str, Any] = {"seed": 0, "step": 0, "images": 10_000, "rows": slice(None), "null_class": 10}
    shown, hidden = (
        denoise_batch(data, GaussianDiffusion(), **recipe, label_dropout=dropout) for dropout in (0.0, share)
    )
    assert (hidden.y == 10).double().mean().item() == pytest.approx(expected, abs=0.02)
    assert torch.equal(hidden.y[hidden.y != 10], shown.y[hidden.y != 10])


@pytest.mark.parametrize("family", ["dit", "sit", "mar"])
def test_parts_of_a_batch_are_rows_of_the_whole(build_tiny: Callable[..., Denoiser], data: ImageSplit, family: str):
    objective = objective_for(build_tiny(family))
    recipe: dict[str, Any] = {"seed": 3, "step": 5, "images": 6, "null_class": 10, "label_dropout": 0.5}
    whole = denoise_batch(data, objective, **recipe, rows=slice(0, 6))
    parts = [denoise_batch(data, objective, **recipe, rows=slice(at, at + 2)) for at in (0, 2, 4)]
    for name in ("t", "noise", "mask"):
        pieces = [getattr(part.draw, name) for part in parts]
        wanted = getattr(whole.draw, name)
        assert wanted is None or torch.equal(torch.cat(pieces), wanted)
    assert torch.equal(torch.cat([part.x for part in parts]), whole.x)
    assert torch.equal(torch.cat([part.y for part in parts]), whole.y)


def test_average_follows_its_closed_form(build_tiny_dit: Callable[..., DiT]) -> None:
    model = build_tiny_dit()
    ema = Ema(model, decay=0.5)
    name = "blocks.0.mlp.fc1.bias"
    expected = model.get_parameter(name).detach().clone()
    for step in range(20):
        with torch.no_grad():
            model.get_parameter(name).add_(1.0)
        ema.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.get_parameter(name).detach()
    assert torch.allclose(ema.module.get_parameter(name), expected, atol=1e-5)
    assert not any(p.requires_grad for p in ema.module.parameters())
    assert not ema.module.training
