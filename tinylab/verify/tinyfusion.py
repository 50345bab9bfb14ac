"""What golden files of TinyFusion pin: depth masks with the Gumbel noise given, and masked distillation."""

import torch
from torch import Tensor

from tinylab.config import FinetuneConfig
from tinylab.diffusion import Draw
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.errors import BadRequest
from tinylab.pruning.depth_mask import MaskGroup
from tinylab.pruning.gates import gated
from tinylab.training.losses import masked_kd
from tinylab.training.recover import forward_pair
from tinylab.verify.golden import Golden, build_model, gradients

__all__ = ["recompute_gates", "recompute_masked_kd"]


def recompute_gates(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name: a gated forward and its gradients."""
    model = build_model(golden, "dit")
    ((stack, depth),) = model.stack_depths().items()
    groups, masks = [], []
    for index in range(len(golden.note("groups"))):
        group = MaskGroup(golden.input(f"options.{index}").tolist(), float(golden.note("scaling")))
        with torch.no_grad():
            group.logits.copy_(golden.input(f"logits.{index}"))
        groups.append(group)
        masks.append(group.draw(golden.input(f"gumbel.{index}"), float(golden.note("tau")))[0])
    mask = torch.cat(masks, dim=1)
    if mask.shape[1] != depth:
        raise BadRequest(f"{golden.path}: its groups cover {mask.shape[1]} blocks, the model has {depth}")
    with gated(model, {stack: mask}):
        output = model(golden.input("x"), golden.input("t"), golden.input("y"))
    noise = golden.input("noise")
    loss = (output * torch.cat([noise] * (output.shape[1] // noise.shape[1]), dim=1)).mean()
    found = {"forward": output.detach()}
    logits = torch.autograd.grad(loss, [group.logits for group in groups], retain_graph=True)
    found |= {f"grad.logits.{index}": gradient for index, gradient in enumerate(logits)}
    return found | gradients(golden, model, loss, skip=found)


def recompute_masked_kd(golden: Golden) -> dict[str, Tensor]:
    """Every output of the file, by name: every term, and gradients of the student."""
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
