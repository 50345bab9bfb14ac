"""Warm starts: spans, the mean of a span, and what holds for all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from memory_recorder import MemoryRecorder
from tiny_transformers import build
from torch import nn
from warming import CONFIG, FAMILIES, KEPT, BuildTiny, changed, copied, hooks, warm_up

from tinylab.config.choices import WARM_STARTS
from tinylab.data.digits import load_digits
from tinylab.errors import BadRequest
from tinylab.metrics.denoising import held_out_loss, noised_batches
from tinylab.models.adapters import adapt
from tinylab.models.load import load_model
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.layer_maps import spans
from tinylab.training.warm_starts.base import WarmUp
from tinylab.training.warm_starts.calibration import SAMPLES, calibration_batches, watched

RULES = pytest.mark.parametrize("name", WARM_STARTS.names())


def lists(kept: list[int], depth: int, **options: Any) -> list[list[int]]:
    return [list(span) for span in spans(kept, depth, **options)]


def test_a_span_reaches_to_the_next_kept_block() -> None:
    assert lists([0, 1, 2, 3, 4, 6], 12) == [[0], [1], [2], [3], [4, 5], [6, 7, 8, 9, 10, 11]]
    assert lists([2], 4) == [[2, 3]]
    assert lists([0, 1, 2], 3) == [[0], [1], [2]]


def test_blocks_before_the_first_kept_one_belong_to_a_span_only_where_spans_cover_the_stack() -> None:
    assert lists([2, 4], 6) == [[2, 3], [4, 5]]
    assert lists([2, 4], 6, covering=True) == [[0, 1, 2, 3], [4, 5]]
    assert lists([0, 4], 6, covering=True) == lists([0, 4], 6)


@pytest.mark.parametrize("kept", [[0], [5], [1, 2, 5], [0, 3, 4], list(range(6))])
def test_covering_spans_are_the_stack_laid_end_to_end(kept: list[int]) -> None:
    assert [index for span in lists(kept, 6, covering=True) for index in span] == list(range(6))
    assert [span[0] for span in lists(kept, 6)] == kept


@RULES
@FAMILIES
def test_only_blocks_of_the_student_change(build_tiny: BuildTiny, name: str, family: str) -> None:
    teacher = build_tiny(family)
    given = warm_up(teacher, KEPT[family])
    taught, learned = copied(teacher), copied(given.student)
    free = [parameter.requires_grad for parameter in given.student.parameters()]
    WARM_STARTS.get(name)(given)
    assert not changed(teacher, taught)
    inside = tuple(f"{stack}." for stack in teacher.block_stacks())
    different = changed(given.student, learned)
    assert all(key.startswith(inside) for key in different)
    assert bool(different) == (name != "none")
    assert [parameter.requires_grad for parameter in given.student.parameters()] == free
    assert not any(parameter.grad is not None for parameter in teacher.parameters())
    assert hooks(teacher) == hooks(given.student) == 0


@RULES
@FAMILIES
def test_a_model_that_keeps_every_block_stays_as_it_is(build_tiny: BuildTiny, name: str, family: str) -> None:
    teacher = build_tiny(family, **({"encoder_depth": 2, "decoder_depth": 2} if family == "mar" else {"depth": 2}))
    given = warm_up(teacher, ["e0", "e1", "d0", "d1"] if family == "mar" else [0, 1])
    before = copied(given.student)
    WARM_STARTS.get(name)(given)
    assert not changed(given.student, before)


@RULES
def test_equal_seeds_give_equal_students_and_leave_the_global_generator_alone(build_tiny: BuildTiny, name: str) -> None:
    results = []
    for _ in range(2):
        given = warm_up(build_tiny("dit"), KEPT["dit"])
        state = torch.get_rng_state()
        WARM_STARTS.get(name)(given)
        assert torch.equal(torch.get_rng_state(), state)
        results.append(copied(given.student))
    assert all(torch.equal(value, results[1][key]) for key, value in results[0].items())


@pytest.mark.parametrize("model", ["digits-dit", "digits-sit", "digits-mar"])
def test_a_linear_map_brings_a_built_in_student_nearer_to_its_teacher(model: str) -> None:
    teacher = load_model(model, "cpu")
    given = warm_up(teacher, ["e0", "e1", "e3", "d0", "d2", "d4"] if model == "digits-mar" else [0, 1, 2, 3, 4, 6])
    _, held_out = load_digits()
    losses = [held_out_loss(teacher, given.objective, held_out, repeats=1).loss]
    for name in ("none", "linear"):
        WARM_STARTS.get(name)(given)
        losses.append(held_out_loss(given.student, given.objective, held_out, repeats=1).loss)
    full, cut, mapped = losses
    assert full < mapped < (full + cut) / 2  # more than half of the damage is undone


@FAMILIES
def test_the_calibration_images_are_those_that_criteria_look_at_a_few_at_a_time(
    build_tiny: BuildTiny, family: str
) -> None:
    given = warm_up(build_tiny(family), KEPT[family])
    few = list(calibration_batches(given))
    many = list(noised_batches(given.objective, given.data, SAMPLES, CONFIG.seed, torch.device("cpu")))
    assert max(len(batch.x) for batch in few) <= 64
    for name in ("t", "noise", "mask"):
        wanted = [getattr(batch.draw, name) for batch in many]
        if wanted[0] is not None:
            assert torch.equal(torch.cat([getattr(batch.draw, name) for batch in few]), torch.cat(wanted))
    for name in ("x", "y"):
        assert torch.equal(*(torch.cat([getattr(batch, name) for batch in batches]) for batches in (few, many)))


@FAMILIES
def test_the_mean_is_that_of_the_kept_block_and_the_removed_ones_after_it(build_tiny: BuildTiny, family: str) -> None:
    teacher = build_tiny(family)
    given = warm_up(teacher, KEPT[family])
    WARM_STARTS.get("mean")(given)
    for stack, blocks in given.student.block_stacks().items():
        taught = teacher.block_stacks()[stack]
        for block, span in zip(blocks, spans(given.plan.kept[stack], 4), strict=True):
            for key, value in block.state_dict().items():
                wanted = torch.stack([taught[index].state_dict()[key] for index in span]).double().mean(dim=0)
                assert torch.equal(value, wanted.float()), key


@FAMILIES
def test_the_mean_of_equal_blocks_changes_nothing(build_tiny: BuildTiny, family: str) -> None:
    teacher = build_tiny(family, seed=1)
    for blocks in teacher.block_stacks().values():
        for block in blocks:
            block.load_state_dict(blocks[0].state_dict())
    given = warm_up(teacher, KEPT[family])
    before = copied(given.student)
    WARM_STARTS.get("mean")(given)
    assert not changed(given.student, before)


class Norms(nn.Module):
    """Blocks with buffers: running means, and a count of batches that is a whole number."""

    def __init__(self, *means: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.BatchNorm1d(2) for _ in means)
        for count, (block, mean) in enumerate(zip(self.blocks, means, strict=True)):
            block.running_mean.fill_(mean)
            block.num_batches_tracked.fill_(count)

    def block_stacks(self) -> dict[str, nn.ModuleList]:
        return {"blocks": self.blocks}


def norms_given(student: Any, teacher: Any, kept: tuple[int, ...]) -> WarmUp:
    plan = DepthPlan({"blocks": kept}, {"blocks": len(teacher.blocks)}, "indices")
    nothing: Any = None
    return WarmUp(student, teacher, plan, nothing, nothing, CONFIG, None, MemoryRecorder())


def test_buffers_have_a_mean_too_and_counts_are_those_of_the_kept_block() -> None:
    student = Norms(2.0)
    WARM_STARTS.get("mean")(norms_given(student, Norms(5.0, 2.0, 4.0), (1,)))
    assert student.blocks[0].running_mean.tolist() == [3.0, 3.0]
    assert student.blocks[0].num_batches_tracked.item() == 1


def test_blocks_of_different_shapes_have_no_mean() -> None:
    teacher = adapt(build("SD3Transformer2DModel"))  # its blocks 0 and 2 have a second attention
    plan = DepthPlan.of([0, 1, 3], teacher.stack_depths(), "indices")
    student = apply_plan(teacher, plan)
    before = copied(student)
    with pytest.raises(BadRequest, match="blocks 1 and 2 of 'transformer_blocks' differ in shape.*use --warm-start"):
        WARM_STARTS.get("mean")(_without_data(student, teacher, plan))
    assert not changed(student, before)


def test_the_mean_works_on_transformers_of_diffusers() -> None:
    teacher = adapt(build("PixArtTransformer2DModel"))
    plan = DepthPlan.of([0, 2], teacher.stack_depths(), "indices")
    student = apply_plan(teacher, plan)
    WARM_STARTS.get("mean")(_without_data(student, teacher, plan))
    blocks = [teacher.transformer.transformer_blocks[index].ff.net[2].weight for index in (2, 3)]
    found = student.transformer.transformer_blocks[1].ff.net[2].weight
    assert torch.allclose(found, (blocks[0] + blocks[1]) / 2)


@pytest.mark.parametrize("name", ["linear", "align"])
def test_transformers_of_diffusers_are_refused_with_what_works(name: str) -> None:
    teacher = adapt(build("PixArtTransformer2DModel"))
    plan = DepthPlan.of([0, 2], teacher.stack_depths(), "indices")
    student = apply_plan(teacher, plan)
    with pytest.raises(BadRequest, match=f"{name} knows .*not a .*use --warm-start none or mean"):
        WARM_STARTS.get(name)(_without_data(student, teacher, plan))


def _without_data(student: Any, teacher: Any, plan: DepthPlan) -> WarmUp:
    nothing: Any = None
    return WarmUp(student, teacher, plan, nothing, nothing, CONFIG, None, MemoryRecorder())


def test_watching_holds_the_latest_call_and_leaves_no_hook_behind_even_after_an_error() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(RuntimeError), watched([layer, layer]) as calls:
        layer(torch.zeros(1, 2))
        out = layer(input=torch.ones(1, 2))
        assert calls[layer].args == ()
        assert torch.equal(calls[layer].kwargs["input"], torch.ones(1, 2))
        assert calls[layer].output is out
        layer(torch.zeros(1, 3))
    assert hooks(layer) == 0
