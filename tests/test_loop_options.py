"""How a training is computed changes nothing, or no more than rounding: micro-batches, threads that read ahead, blocks
computed twice or compiled, bfloat16."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from memory_recorder import MemoryRecorder
from torch import Tensor

from tinylab.config import SearchConfig, TrainConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.errors import BadRequest, Stopped
from tinylab.models.base import Denoiser
from tinylab.models.networks.reader import DigitReader
from tinylab.training.classify import ClassifyTask
from tinylab.training.denoise import DenoiseTask
from tinylab.training.loop import LoopTimes, run_loop
from tinylab.training.precision import checkpointed_blocks
from tinylab.training.search import SearchTask

LOOP: dict[str, Any] = {"steps": 3, "batch_size": 8, "log_every": 1}
FAMILIES = ("dit", "sit", "mar")

Build = Callable[..., Denoiser]
Trained = tuple[Any, dict[int, Any], LoopTimes]  # the task, its records and its times


@pytest.fixture
def recover(build_tiny: Build) -> Callable[..., Trained]:
    """Trains a tiny model as the options say."""

    def run(family: str = "dit", recorder: MemoryRecorder | None = None, **options: Any) -> Trained:
        model, memory = build_tiny(family), recorder or MemoryRecorder()
        config = TrainConfig.create(**{**LOOP, "lr": 1e-3, "warmup": 0, "ema_decay": 0.9, **options})
        task = DenoiseTask(model, objective_for(model), load_digits()[0], config, floor=0.1)
        _forgive_rounding(task)
        times = run_loop(task, config, None, memory)
        return task, memory.records, times

    return run


@pytest.fixture
def search(build_tiny: Build) -> Callable[..., Trained]:
    """Searches a tiny model as the options say."""

    def run(family: str = "dit", **options: Any) -> Trained:
        model, memory = build_tiny(family), MemoryRecorder()
        config = SearchConfig.create(**{**LOOP, "pattern": "1:2", "lora_rank": 2, "lr_mask": 1e-2, **options})
        task = SearchTask(model, objective_for(model), load_digits()[0], config)
        _forgive_rounding(task)
        times = run_loop(task, config, None, memory)
        return task, memory.records, times

    return run


def _forgive_rounding(task: Any) -> None:
    """A gradient that is zero but for rounding must not become a whole step of Adam."""
    for group in task.optimizer.param_groups:
        group["eps"] = 1e-3


def weights(task: Any) -> dict[str, Tensor]:
    return {f"{part}.{name}": p for part, module in task.modules.items() for name, p in module.named_parameters()}


def assert_close(found: Trained, wanted: Trained, *, limit: float) -> None:
    """Numbers and weights, to a share of their size."""
    assert found[1].keys() == wanted[1].keys() != set()
    for step, record in wanted[1].items():
        assert found[1][step].scalars == pytest.approx(record.scalars, rel=limit, abs=limit)
    one, other = weights(found[0]), weights(wanted[0])
    assert one.keys() == other.keys()
    for name, value in other.items():
        assert (one[name] - value).norm() <= limit * value.norm().clamp(min=1e-2), name


def assert_equal(found: Trained, wanted: Trained) -> None:
    """To the last bit."""
    assert found[1] == wanted[1] != {}
    one, other = weights(found[0]), weights(wanted[0])
    assert [name for name in other if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_micro_batches_take_the_step_of_the_whole_batch(recover, family: str) -> None:
    wanted = recover(family)
    for count in (2, 4, 8):
        assert_close(recover(family, accumulation=count), wanted, limit=1e-5)


@pytest.mark.parametrize("options", [{}, {"estimator": "reinforce", "copies": 2}, {"weights": "full"}])
def test_micro_batches_of_a_search_draw_the_masks_of_the_whole_batch(search, options: dict[str, Any]) -> None:
    assert_close(search(**options, accumulation=4), search(**options), limit=1e-5)


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_that_read_ahead_change_nothing(recover, search, workers: int) -> None:
    for run in (recover, search):
        assert_equal(run(workers=workers, accumulation=2), run(accumulation=2))


def test_no_thread_outlives_its_training(recover) -> None:
    recover(workers=3, steps=2)
    with pytest.raises(Stopped):
        recover(workers=3, recorder=MemoryRecorder(stop_at=1))
    with pytest.raises(RuntimeError, match="power cut"):
        recover(workers=3, recorder=MemoryRecorder(break_at=1))
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_that_are_computed_twice_change_nothing(recover, search, family: str) -> None:
    for run in (recover, search):
        assert_equal(run(family, gradient_checkpointing=True), run(family))


def test_blocks_that_are_computed_twice_keep_only_their_inputs(build_tiny_dit, search) -> None:
    def kept(model: Denoiser) -> int:
        """Bytes that a forward pass keeps for the backward pass."""
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.nbytes) or t, lambda t: t):
            model(torch.ones(8, 1, 8, 8), torch.arange(8), torch.arange(8))
        return sum(sizes)

    model = build_tiny_dit()
    before = kept(model)
    with checkpointed_blocks(model):
        assert kept(model) < before / 3
    assert kept(model) == before
    task, _, _ = search(gradient_checkpointing=True)
    assert not any("forward" in block.__dict__ for block in task.model.blocks)


def test_hooks_on_blocks_that_are_computed_twice_see_what_they_saw(build_tiny_dit) -> None:
    model, seen = build_tiny_dit(), []
    for block in model.blocks:
        block.register_forward_hook(lambda module, arguments, output: seen.append(output))
    batch = (torch.ones(2, 1, 8, 8), torch.arange(2), torch.arange(2))
    gradients = []
    for context in (checkpointed_blocks(model), torch.enable_grad()):
        seen.clear()
        model.zero_grad()
        with context:
            model(*batch)
            assert len(seen) == 4
            sum(output.square().mean() for output in seen).backward()
        assert len(seen) == 4
        gradients.append([p.grad.clone() for p in model.blocks.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.fixture
def quick_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """torch's own tracer, with the backend that is quick to build; the forwards that went through it."""
    compiled: list[Any] = []
    compile_part = partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", lambda part, **how: compiled.append(part) or compile_part(part, **how))
    torch._dynamo.reset()
    yield compiled
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True])
def test_compiled_blocks_take_the_same_steps(recover, search, quick_compiler: list[Any], twice: bool) -> None:
    for run in (recover, search):
        wanted = run(steps=2)
        assert quick_compiler == []
        assert_close(run(steps=2, compile=True, gradient_checkpointing=twice), wanted, limit=1e-4)
        assert len(quick_compiler) >= 4
        quick_compiler.clear()


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_close_and_leaves_weights_in_float32(recover, family: str) -> None:
    found, wanted = recover(family, precision="bfloat16"), recover(family)
    assert {value.dtype for value in weights(found[0]).values()} == {torch.float32}
    assert found[1] != wanted[1]  # it did round
    assert_close(found, wanted, limit=3e-2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("skip", ["dense", "exact"])
def test_bfloat16_leaves_the_gradients_of_a_search_what_they_were(search, family: str, skip: str) -> None:
    """Those of all parts together: blocks that also run without gradients must not lose their own."""
    gradients = []
    for precision in ("float32", "bfloat16"):
        task, _, _ = search(family, precision=precision, skip=skip, steps=1, clip=1e9, batch_size=32)
        moving = (p for group in task.optimizer.param_groups for p in group["params"])
        gradients.append(torch.cat([p.grad.flatten() for p in moving]))
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert 0 < error < 3e-2


def test_bfloat16_leaves_what_a_model_says_in_float32(recover, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, losses = [], DenoiseTask.loss

    def watched(task: DenoiseTask, step: int, batch: Any) -> Tensor:
        inside = task.model.blocks[0].mlp.fc1(torch.ones(1, 16))
        seen.append((task.model(batch.x, batch.draw.t, batch.y).dtype, inside.dtype))
        return losses(task, step, batch)

    monkeypatch.setattr(DenoiseTask, "loss", watched)
    recover(precision="bfloat16", steps=1)
    assert seen == [(torch.float32, torch.bfloat16)]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"accumulation": 3}, "batch-size 8 is no multiple of 3 micro-batches; take 9"),
        ({"accumulation": 16}, "batch-size 8 is no multiple of 16 micro-batches; take 16"),
    ],
)
def test_a_batch_without_equal_shares_is_refused_before_anything_is_computed(
    recover, options: dict[str, Any], line: str
) -> None:
    memory = MemoryRecorder()
    with pytest.raises(BadRequest, match=f"^{line}$"):
        recover(recorder=memory, **options)
    assert (memory.rewound, memory.steps) == ([], [])


def test_copies_of_an_image_stay_together(search) -> None:
    with pytest.raises(
        BadRequest, match="batch-size 8 is no multiple of 4 micro-batches x 4 copies of an image; take 16"
    ):
        search(estimator="reinforce", copies=4, accumulation=4)


@pytest.mark.parametrize("option", ["compile", "gradient_checkpointing"])
def test_a_model_without_blocks_has_none_to_change(option: str) -> None:
    config = TrainConfig.create(**LOOP, **{option: True})
    task = ClassifyTask(DigitReader(), load_digits()[0], config)
    with pytest.raises(BadRequest, match="no transformer blocks; leave out --compile and --gradient-checkpointing"):
        run_loop(task, config, None, MemoryRecorder())


def test_trainings_after_one_another_leave_nothing_of_accelerate_behind(recover) -> None:
    for precision in ("float32", "bfloat16", "float32"):
        recover(precision=precision, steps=1, accumulation=2)
        assert AcceleratorState._shared_state == PartialState._shared_state == {}


def test_what_launchers_say_of_precision_and_accumulation_is_not_heard(recover, monkeypatch) -> None:
    wanted = recover()
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    assert_equal(recover(), wanted)


def test_times_are_told_but_are_no_part_of_the_records(recover) -> None:
    (_, first, times), (_, second, _) = recover(workers=1), recover(workers=1)
    assert first == second
    for record in (*first.values(), *second.values()):
        assert record.times["seconds"] > 0
        assert 0 <= record.times["data_wait"] <= 1
    assert times.steps == 3
    assert 0 <= times.waited <= times.seconds
    assert sum(record.times["seconds"] for record in first.values()) <= times.seconds  # all steps were logged
