"""The warm start `align`: every block learns its span by itself, and a cut-off run goes on bit for bit."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from memory_recorder import MemoryRecorder
from torch import Tensor, nn
from warming import CONFIG, FAMILIES, KEPT, BuildTiny, changed, copied, hooks, warm_up

from tinylab.errors import Stopped
from tinylab.models.base import Denoiser
from tinylab.training.checkpointing import latest_checkpoint
from tinylab.training.task import cosine
from tinylab.training.warm_starts import WarmUp, align
from tinylab.training.warm_starts.calibration import calibration_batches, watched


@torch.no_grad()
def errors(given: WarmUp, lessons: list[align.Lesson]) -> Tensor:
    """The mean squared error of every lesson over the calibration images."""
    totals = torch.zeros(len(lessons))
    with watched(block for lesson in lessons for block in (lesson.first, lesson.kept, lesson.last)) as calls:
        for batch in calibration_batches(given):
            given.objective.forward(given.teacher, batch.x, batch.y, batch.draw)
            totals += len(batch.x) * torch.stack([lesson.error(calls) for lesson in lessons])
    return totals / 512


def test_the_lessons_cover_every_stack_that_lost_blocks(build_tiny: BuildTiny) -> None:
    teacher = build_tiny("mar")
    given = warm_up(teacher, ["e1", "e2", "d0", "d1", "d2", "d3"])
    encoder, blocks = teacher.block_stacks()["encoder_blocks"], given.student.block_stacks()["encoder_blocks"]
    first, second = align.lessons(given)
    assert first == align.Lesson("e1", blocks[0], encoder[0], encoder[1], encoder[1])
    assert second == align.Lesson("e2", blocks[1], encoder[2], encoder[2], encoder[3])


@FAMILIES
def test_a_block_that_stands_for_itself_makes_no_error(build_tiny: BuildTiny, family: str) -> None:
    teacher = build_tiny(family)
    given = warm_up(teacher, KEPT[family])
    every = [block for blocks in teacher.block_stacks().values() for block in blocks]
    assert not errors(given, [align.Lesson("", deepcopy(block), block, block, block) for block in every]).any()


def silence(block: nn.Module) -> None:
    """Make a block the identity."""
    for name in ("attn.proj", "mlp.fc2"):
        for parameter in block.get_submodule(name).parameters():
            nn.init.zeros_(parameter)


@FAMILIES
def test_doing_nothing_is_an_error_of_one(build_tiny: BuildTiny, family: str) -> None:
    given = warm_up(build_tiny(family), KEPT[family])
    found = align.lessons(given)
    for lesson in found:
        silence(lesson.student)
    shares = errors(given, found) / align.AlignTask(given, found).moves
    assert torch.allclose(shares, torch.ones(len(found)), rtol=1e-4)


@FAMILIES
def test_every_span_is_learned_and_nothing_else_changes(build_tiny: BuildTiny, family: str) -> None:
    teacher = build_tiny(family, **({} if family == "mar" else {"depth": 5}))
    kept: list[int | str] = ["e1", "e2", "d0", "d1", "d3"] if family == "mar" else [1, 2, 3]
    config = CONFIG.model_copy(update={"warm_steps": 40, "batch_size": 16, "lr": 0.01})
    given = warm_up(teacher, kept, config=config)
    found, before = align.lessons(given), copied(given.student)
    worse = errors(given, found)
    align.start(given)
    assert (errors(given, found) < 0.8 * worse).all()
    taught = {id(lesson.student) for lesson in found}
    names = {
        f"{stack}.{index}."
        for stack, blocks in given.student.block_stacks().items()
        for index, block in enumerate(blocks)
        if id(block) in taught
    }
    different = changed(given.student, before)
    assert {".".join(key.split(".")[:2]) + "." for key in different} == names
    assert len(names) == (3 if family == "mar" else 2)  # the spans 0-1 and 3-4; 2 stands for itself


def test_what_it_tells_the_recorder(build_tiny: BuildTiny) -> None:
    memory = MemoryRecorder()
    align.start(warm_up(build_tiny("dit"), [0, 2], recorder=memory))
    assert memory.steps == [1, 2, 3, 4, 5, 6]
    for record in memory.records.values():
        shares = [record.scalars[f"span/{block}"] for block in (0, 2)]
        assert record.scalars["loss"] == pytest.approx(sum(shares) / 2)
    rates = [record.scalars["lr"] for record in memory.records.values()]
    assert rates == pytest.approx([CONFIG.lr * cosine(step, 6, warmup=2, floor=CONFIG.lr_floor) for step in range(6)])


def test_the_error_of_a_span_is_a_share_of_its_own_move(build_tiny: BuildTiny) -> None:
    given = warm_up(build_tiny("dit"), [0, 2])
    task = align.AlignTask(given, align.lessons(given))
    first, second = task.moves.tolist()
    assert first != pytest.approx(second, rel=0.1)
    batch = task.batch(0, slice(0, 8))
    task.begin(0)
    shares = task.record(1, task.loss(0, batch).item()).scalars
    blocks = given.teacher.block_stacks()["blocks"]
    with torch.no_grad(), watched(blocks) as calls:
        given.objective.forward(given.teacher, batch.x, batch.y, batch.draw)
        for place, student in enumerate(given.student.block_stacks()["blocks"]):
            call, goal = calls[blocks[2 * place]], calls[blocks[2 * place + 1]].output
            error = (student(*call.args) - goal).square().mean() / task.moves[place]
            assert shares[f"span/{2 * place}"] == pytest.approx(error.item(), rel=1e-5)


@FAMILIES
def test_parts_of_a_step_make_up_its_loss_and_gradients(build_tiny: BuildTiny, family: str) -> None:
    given = warm_up(build_tiny(family), KEPT[family])
    task = align.AlignTask(given, align.lessons(given))

    def gradients(*parts: slice) -> tuple[float, list[Tensor]]:
        task.optimizer.zero_grad()
        losses = [task.loss(2, task.batch(2, rows)) / len(parts) for rows in parts]
        torch.stack(losses).sum().backward()
        moving = [p for group in task.optimizer.param_groups for p in group["params"]]
        return sum(loss.item() for loss in losses), [p.grad.clone() for p in moving]

    whole, several = gradients(slice(0, 8)), gradients(slice(0, 4), slice(4, 8))
    assert several[0] == pytest.approx(whole[0], rel=1e-5)
    for a, b in zip(whole[1], several[1], strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-6)


@FAMILIES
def test_micro_batches_and_blocks_that_are_computed_twice_teach_the_same(build_tiny: BuildTiny, family: str) -> None:
    found = []
    for options in ({}, {"accumulation": 4, "gradient_checkpointing": True}):
        memory = MemoryRecorder()
        config = CONFIG.model_copy(update=options)
        given = warm_up(build_tiny(family), KEPT[family], config=config, recorder=memory)
        align.start(given)
        assert all(block.forward.__func__ is type(block).forward for block in _blocks(given.student, given.teacher))
        found.append([record.scalars for record in memory.records.values()])
    for whole, several in zip(*found, strict=True):
        assert {name: several[name] for name in whole} == pytest.approx(whole, rel=1e-3)


def _blocks(*models: Denoiser) -> list[nn.Module]:
    return [block for model in models for stack in model.block_stacks().values() for block in stack]


def finished(teacher: Denoiser, family: str, folder: Path, *interruptions: MemoryRecorder) -> dict[str, Tensor]:
    """The student and the optimizer's moments after a warm start that was interrupted and taken up again."""
    for recorder in interruptions:
        given = warm_up(teacher, KEPT[family], checkpoints=folder, recorder=recorder)
        with pytest.raises((Stopped, RuntimeError)):
            align.start(given)
        assert hooks(teacher) == hooks(given.student) == 0
    last = warm_up(teacher, KEPT[family], checkpoints=folder)
    align.start(last)
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None and checkpoint.step == CONFIG.warm_steps
    return {**last.student.state_dict(), **{f"kept.{name}": value for name, value in checkpoint.tensors.items()}}


@FAMILIES
def test_a_run_that_was_stopped_and_cut_off_ends_bit_for_bit_like_one_that_was_not(
    build_tiny: BuildTiny, family: str, tmp_path: Path
) -> None:
    teacher = build_tiny(family)
    straight = finished(teacher, family, tmp_path / "straight")
    broken = [MemoryRecorder(stop_at=1), MemoryRecorder(break_at=4)]
    resumed = finished(teacher, family, tmp_path / "resumed", *broken)
    assert straight.keys() == resumed.keys()
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []


def test_a_warm_start_that_is_done_is_only_read_again(build_tiny: BuildTiny, tmp_path: Path) -> None:
    teacher = build_tiny("dit")
    done = finished(teacher, "dit", tmp_path)
    memory = MemoryRecorder()
    again = warm_up(teacher, KEPT["dit"], checkpoints=tmp_path, recorder=memory)
    align.start(again)
    assert memory.steps == []
    assert all(torch.equal(value, done[name]) for name, value in again.student.state_dict().items())


def test_where_nothing_was_removed_nothing_is_saved(build_tiny: BuildTiny, tmp_path: Path) -> None:
    given = warm_up(build_tiny("dit", depth=2), [0, 1], checkpoints=tmp_path / "none")
    align.start(given)
    assert not (tmp_path / "none").exists()
