"""Losses of recovery: what a shallow student learns from images and from the model that it was cut from."""

from __future__ import annotations

from tinylab.registry import Registry
from tinylab.training.losses.base import Outputs, RecoveryLoss, Terms

__all__ = ["LOSSES", "RecoveryLoss", "Outputs", "Terms"]

LOSSES: Registry[type[RecoveryLoss]] = Registry("loss")
_HERE = "tinylab.training.losses"
LOSSES.register("diffusion", f"{_HERE}.distillation:DiffusionLoss", summary="the images alone", label="Plain")
LOSSES.register("logit", f"{_HERE}.distillation:LogitDistillation", summary="the teacher's output", label="Logit KD")
LOSSES.register(
    "feature", f"{_HERE}.distillation:FeatureDistillation", summary="output and hidden states", label="Feature KD"
)
LOSSES.register(
    "masked-kd",
    f"{_HERE}.masked_kd:MaskedDistillation",
    summary="output and hidden states without their extremes (TinyFusion)",
    label="Masked KD",
)
LOSSES.register(
    "normalised",
    f"{_HERE}.distillation:NormalisedDistillation",
    summary="output and hidden states, each layer by its size (LAPTOP-Diff)",
    label="Normalised KD",
)
LOSSES.register(
    "bksdm", f"{_HERE}.distillation:SummedDistillation", summary="the sum of all (BK-SDM)", label="BK-SDM sum"
)
