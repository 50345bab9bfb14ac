"""What a golden file of masked distillation pins: every term, and gradients of the student."""

from __future__ import annotations

import torch
from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.diffusion import Draw
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.training.losses import masked_kd
from tinylab.training.recover import forward_pair
from tinylab.verify.golden import Golden, build_model, gradients

__all__ = ["recompute"]


def recompute(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name."""
    teacher = build_model(golden, "dit", part="teacher")
    student = build_model(golden, "dit", part="student", depth=int(golden.note("student_depth")))
    x, y, drop = golden.input("x"), golden.input("y"), golden.input("drop")
    y = torch.where(drop == 1, student.num_classes, y)
    weights = {"alpha": float(golden.note("alpha_kd")), "beta": float(golden.note("beta_feat"))}
    config = FinetuneConfig.create(loss="masked-kd", **weights)
    pairs = [("blocks", int(a), int(b)) for a, b in golden.note("layer_map")]
    draw = Draw(golden.input("t"), golden.input("noise"))
    outputs = forward_pair(student, teacher, GaussianDiffusion(), x, y, draw, pairs)
    terms = masked_kd(outputs, 0.0, config)
    assert outputs.teacher_loss is not None
    found = {
        "loss": terms.loss,
        "kd_loss": outputs.teacher_loss.loss,
        "vb_kd": outputs.teacher_loss.vb,
        "feat_loss": terms.parts["features"],
    }
    found |= {"gt": outputs.task_loss.loss, "mse": outputs.task_loss.mse, "vb": outputs.task_loss.vb}
    detached = {name: value.detach() for name, value in found.items()}
    return detached | gradients(golden, student, terms.loss.mean(), prefix="grad.student.")
