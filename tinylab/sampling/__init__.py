"""Drawing images from a model: one file a sampler, each for the families that it understands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tinylab.errors import BadRequest
from tinylab.registry import Registry

__all__ = ["SAMPLERS", "SAMPLERS_OF", "sampler_for"]

SAMPLERS: Registry = Registry("sampler")
_HERE = "tinylab.sampling"
SAMPLERS.register("ddpm", f"{_HERE}.gaussian:sample_ddpm", summary="ancestral sampling, learned variance", label="DDPM")
SAMPLERS.register("ddim", f"{_HERE}.gaussian:sample_ddim", summary="deterministic DDIM, eta 0", label="DDIM")
SAMPLERS.register("euler", f"{_HERE}.flow:sample_euler", summary="the flow's ODE, Euler steps", label="Euler (ODE)")
SAMPLERS.register("heun", f"{_HERE}.flow:sample_heun", summary="the flow's ODE, two looks a step", label="Heun (ODE)")
SAMPLERS.register("sde", f"{_HERE}.flow:sample_sde", summary="the flow's SDE, Euler-Maruyama", label="SDE")
SAMPLERS.register("masked", f"{_HERE}.masked:sample", summary="hidden tokens, a few at a time", label="Masked tokens")

# The first one is the default of the family.
SAMPLERS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"dit": ("ddpm", "ddim"), "sit": ("euler", "heun", "sde"), "mar": ("masked",)}
)


def sampler_for(family: str, wanted: str = "auto") -> str:
    """The sampler to use for a model of this family; BadRequest if the one that is `wanted` does not fit."""
    fitting = SAMPLERS_OF.get(family, ())
    if not fitting:
        raise BadRequest(f"models of family {family!r} cannot be sampled from yet")
    if wanted == "auto":
        return fitting[0]
    if SAMPLERS.entry(wanted).name not in fitting:
        raise BadRequest(f"sampler {wanted!r} does not fit a model of family {family!r}; use {' or '.join(fitting)}")
    return wanted
