"""What a golden file of masked distillation pins: every term, and gradients of the student."""

from __future__ import annotations

import torch
from torch import Tensor

from tinylab.diffusion import Draw
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.training.losses.masked_kd import masked_distillation
from tinylab.verify.golden import Golden, build_model, gradients

__all__ = ["recompute"]

_TERMS = {"loss": "loss", "kd_loss": "kd", "vb_kd": "vb_kd", "gt": "truth", "mse": "mse", "vb": "vb"}


def recompute(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name."""
    teacher = build_model(golden, "dit", part="teacher")
    student = build_model(golden, "dit", part="student", depth=int(golden.note("student_depth")))
    y, drop = golden.input("y"), golden.input("drop")
    losses = masked_distillation(
        student,
        teacher,
        GaussianDiffusion(),
        golden.input("x"),
        torch.where(drop == 1, student.num_classes, y),
        Draw(golden.input("t"), golden.input("noise")),
        layer_map=[(int(a), int(b)) for a, b in golden.note("layer_map")],
        alpha_kd=float(golden.note("alpha_kd")),
        beta_feat=float(golden.note("beta_feat")),
    )
    found = {name: getattr(losses, term).detach() for name, term in {**_TERMS, "feat_loss": "features"}.items()}
    return found | gradients(golden, student, losses.loss.mean(), prefix="grad.student.")
