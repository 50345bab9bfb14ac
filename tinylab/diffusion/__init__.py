"""Objectives: what a model is trained to do, and the chain its sampler walks back."""

from __future__ import annotations

from torch import nn

from tinylab.diffusion.base import Objective
from tinylab.registry import Registry

__all__ = ["OBJECTIVES", "Objective", "objective_for"]

OBJECTIVES: Registry[type] = Registry("model family")
OBJECTIVES.register(
    "dit", "tinylab.diffusion.gaussian:GaussianDiffusion", summary="DDPM, 1000 linear steps, learned variance"
)


def objective_for(model: nn.Module) -> Objective:
    """The objective that the model's family is trained with, on the model's device."""
    family = getattr(model, "family", type(model).__name__)
    return OBJECTIVES.get(family)().to(next(model.parameters()).device)
