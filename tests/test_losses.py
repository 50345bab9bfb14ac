"""Losses of recovery: closed forms, for every loss and every family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.config.choices import LOSSES
from tinylab.data.digits import load_digits
from tinylab.diffusion import Losses, objective_for
from tinylab.errors import BadRequest
from tinylab.models.base import Denoiser
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.training.batches import TrainBatch, denoise_batch
from tinylab.training.layer_maps import layer_map
from tinylab.training.losses import Outputs, Terms, decayed, masked_error, normalised_error, usual
from tinylab.training.recover import forward_pair

FAMILIES = ("dit", "sit", "mar")
KEPT = {"dit": {"blocks": (0, 2)}, "sit": {"blocks": (1, 3)}, "mar": {"encoder_blocks": (0, 3), "decoder_blocks": (1,)}}


def losses_of(mse: float, vb: float) -> Losses:
    mse_, vb_ = torch.tensor([mse, 2 * mse]), torch.tensor([vb, vb])
    return Losses(mse_ + vb_, mse_, vb_)


def outputs(**states: Any) -> Outputs:
    return Outputs(losses_of(1.0, 0.5), losses_of(0.2, 0.1), **states)


def rule(loss: str, **values: Any) -> Any:
    config = FinetuneConfig.create(loss=loss, **values)
    return lambda outputs, share: LOSSES.get(loss)(outputs, share, config)


def two_layers() -> dict[str, list[Tensor]]:
    student = [torch.zeros(2, 3, 4), torch.ones(2, 3, 4)]
    return {"student": student, "teacher": [torch.full((2, 3, 4), 2.0), torch.full((2, 3, 4), 4.0)]}


def test_the_plain_loss_is_the_models_own() -> None:
    terms = rule("diffusion")(Outputs(losses_of(1.0, 0.5)), 0.3)
    assert terms.loss.tolist() == [1.5, 2.5]
    assert {name: part.tolist() for name, part in terms.parts.items()} == {"mse": [1.0, 2.0], "vb": [0.5, 0.5]}


def test_output_distillation_weighs_teacher_and_images() -> None:
    terms = rule("logit", alpha=0.75)(outputs(), 0.3)
    assert terms.loss.tolist() == pytest.approx([0.75 * 0.3 + 0.25 * 1.5, 0.75 * 0.5 + 0.25 * 2.5])
    assert terms.parts["kd"].tolist() == pytest.approx([0.3, 0.5])


@pytest.mark.parametrize(("decay", "left"), [("linear", 0.75), ("cosine", 0.5 * (1 + 2**-0.5)), ("none", 1.0)])
def test_feature_distillation_adds_a_mean_over_layers_that_fades(decay: str, left: float) -> None:
    terms = rule("feature", alpha=1.0, beta=0.1, beta_decay=decay)(outputs(**two_layers()), 0.25)
    assert terms.parts["features"].tolist() == pytest.approx([(4 + 9) / 2] * 2)
    assert terms.loss.tolist() == pytest.approx([0.3 + 0.1 * left * 6.5, 0.5 + 0.1 * left * 6.5])
    assert decayed(1.0, "none") == 1.0 and decayed(1.0, "linear") == 0.0 and abs(decayed(1.0, "cosine")) < 1e-12


def test_the_sum_of_bksdm_has_no_weights_and_sums_the_layers() -> None:
    terms = rule("bksdm", alpha=0.1, beta=0.0)(outputs(**two_layers()), 0.9)
    assert terms.loss.tolist() == pytest.approx([1.5 + 0.3 + 13, 2.5 + 0.5 + 13])


def test_normalising_makes_layers_of_any_size_count_alike() -> None:
    h, other = torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    assert torch.allclose(normalised_error(1000 * h, 1000 * other), normalised_error(h, other), rtol=1e-5)
    assert normalised_error(torch.zeros_like(h), other).tolist() == pytest.approx([1.0, 1.0])
    assert normalised_error(h, torch.zeros_like(h)).isfinite().all()


def spiked(spikes: dict[int, float]) -> Tensor:
    """A hidden state (1, 10, 10) of ±1 in turn, with a few huge values."""
    h = torch.ones(100)
    h[1::2] = -1
    for place, value in spikes.items():
        h[place] = value
    return h.view(1, 10, 10)


def test_extremes_are_left_out_on_each_side_or_on_both() -> None:
    student, teacher = spiked({3: 50.0}), spiked({8: 70.0})
    assert (~usual(student, 2.0)).flatten().nonzero().flatten().tolist() == [3]
    separate, joint = (masked_error(student, teacher, mask=mask).item() for mask in ("separate", "joint"))
    assert separate == pytest.approx((1 + 1) / 100)  # at 3 the teacher's -1 against 0, at 8 the student's 1 against 0
    assert joint == 0.0
    plain = masked_error(student, teacher, sigma=1000.0).item()
    assert plain == pytest.approx((51**2 + 69**2) / 100)


def test_nothing_is_learned_from_what_is_masked() -> None:
    student = spiked({3: 50.0}).requires_grad_()
    masked_error(student, spiked({8: 70.0}), mask="separate").sum().backward()
    assert student.grad is not None
    assert student.grad.flatten()[3] == 0
    assert student.grad.flatten()[8] != 0  # extreme at the teacher alone: pulled towards zero


def cut(build_tiny: Callable[..., Denoiser], family: str) -> tuple[Denoiser, Denoiser, DepthPlan]:
    teacher = build_tiny(family)
    plan = DepthPlan(KEPT[family], teacher.stack_depths(), "test")
    return apply_plan(teacher, plan), teacher, plan


def batch_of(model: Denoiser) -> TrainBatch:
    recipe: dict[str, Any] = {"seed": 0, "step": 0, "images": 6, "rows": slice(None), "null_class": 10}
    return denoise_batch(load_digits()[0], objective_for(model), **recipe, label_dropout=0.5)


def judged(loss: str, student: Denoiser, teacher: Denoiser, plan: DepthPlan, **values: Any) -> Terms:
    needs, batch, objective = LOSSES.entry(loss).needs, batch_of(teacher), objective_for(teacher)
    pairs = layer_map(plan, "kept") if needs == "states" else []
    taught_by = None if needs == "images" else teacher
    found = forward_pair(student, taught_by, objective, batch.x, batch.y, batch.draw, pairs)
    return rule(loss, **values)(found, 0.0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("loss", LOSSES.names())
def test_every_loss_teaches_every_family(build_tiny: Callable[..., Denoiser], loss: str, family: str) -> None:
    student, teacher, plan = cut(build_tiny, family)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    terms = judged(loss, student, teacher, plan, beta=1.0)
    assert terms.loss.shape == (6,) and terms.loss.isfinite().all()
    terms.loss.mean().backward()
    moved = {name for name, p in student.named_parameters() if p.grad is not None and p.grad.any()}
    assert any(name.startswith(next(iter(plan.kept))) for name in moved)
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not any(module._forward_hooks for model in (student, teacher) for module in model.modules())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("loss", ["logit", "feature", "masked-kd", "normalised", "bksdm"])
def test_a_student_that_is_its_teacher_has_nothing_to_learn_of_it(
    build_tiny: Callable[..., Denoiser], loss: str, family: str
) -> None:
    teacher = build_tiny(family)
    depth = teacher.stack_depths()
    plan = DepthPlan({stack: tuple(range(count)) for stack, count in depth.items()}, depth, "test")
    parts = judged(loss, apply_plan(teacher, plan), teacher, plan).parts
    own = objective_for(teacher).losses(teacher, batch_of(teacher).x, batch_of(teacher).y, batch_of(teacher).draw)
    assert torch.allclose(parts["mse"], own.mse, rtol=1e-5)
    assert parts.get("features", torch.zeros(1)).abs().max() < 1e-8
    if family == "sit":
        assert parts["kd"].abs().max() < 1e-8
    else:  # a chain's first step has the decoder's likelihood in place of a divergence
        later = batch_of(teacher).draw.t if family == "dit" else torch.ones(6)
        assert parts["kd"][later > 0].abs().max() < (1e-6 if family == "dit" else 0.2)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("loss", "passes"), [("diffusion", 0), ("logit", 1), ("masked-kd", 1)])
def test_the_teacher_runs_once_and_is_told_what_the_student_is(
    build_tiny: Callable[..., Denoiser], family: str, loss: str, passes: int
) -> None:
    student, teacher, plan = cut(build_tiny, family)
    told: dict[str, list[Tensor]] = {"student": [], "teacher": []}
    for name, model in (("student", student), ("teacher", teacher)):
        model.register_forward_hook(lambda m, args, out, name=name: told[name].append(args[2]))
    judged(loss, student, teacher, plan)
    assert (len(told["student"]), len(told["teacher"])) == (1, passes)
    assert all(torch.equal(hidden, told["student"][0]) for hidden in told["teacher"])
    assert (told["student"][0] == 10).any()  # some classes are hidden, from both


@pytest.mark.parametrize("family", FAMILIES)
def test_both_models_see_the_same_noise(build_tiny: Callable[..., Denoiser], family: str) -> None:
    student, teacher, _ = cut(build_tiny, family)
    batch, objective = batch_of(teacher), objective_for(teacher)
    task_loss = objective.compare(student, teacher, batch.x, batch.y, batch.draw).task_loss
    alone = objective.losses(student, batch.x, batch.y, batch.draw)
    assert torch.allclose(task_loss.loss, alone.loss, rtol=1e-5)
    swapped = objective.compare(teacher, student, batch.x, batch.y, batch.draw).teacher_loss
    gap = objective.compare(student, teacher, batch.x, batch.y, batch.draw).teacher_loss
    assert torch.allclose(swapped.mse, gap.mse, rtol=1e-4)  # the squared error knows no direction
    assert gap.mse.min() > 0


def test_an_unknown_loss_is_refused_with_the_names() -> None:
    with pytest.raises(BadRequest, match="loss: input should be 'diffusion', 'logit'"):
        FinetuneConfig.create(loss="magic")
    with pytest.raises(BadRequest, match="unknown loss 'magic'; choose one of: diffusion, logit, feature, masked-kd"):
        LOSSES.get("magic")
