"""Objectives: what a model is trained to do, and the path its sampler walks back."""

from torch import nn

from tinylab.diffusion.base import Comparison, Draw, Losses, Objective
from tinylab.registry import Registry

__all__ = ["OBJECTIVES", "Comparison", "Draw", "Losses", "Objective", "objective_for"]

OBJECTIVES: Registry[type[Objective]] = Registry("model family")
_HERE = "tinylab.diffusion"
OBJECTIVES.register("dit", f"{_HERE}.gaussian:GaussianDiffusion", summary="DDPM, 1000 linear steps, learned variance")
OBJECTIVES.register("sit", f"{_HERE}.flow:FlowMatching", summary="flow matching, velocity prediction")
OBJECTIVES.register("mar", f"{_HERE}.masked:MaskedDiffusion", summary="diffusion loss of hidden tokens")
OBJECTIVES.register("diffusers", f"{_HERE}.adapted:AdaptedObjective", summary="as the class was trained")


def objective_for(model: nn.Module) -> Objective:
    """The objective that the model's family is trained with, on the model's device."""
    family = getattr(model, "family", type(model).__name__)
    objective = OBJECTIVES.get(family).of(model.config)
    return objective.to(next(model.parameters()).device)  # type: ignore[attr-defined]  # objectives are modules
