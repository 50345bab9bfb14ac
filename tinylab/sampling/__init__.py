"""Drawing images from a model: one reverse chain, one step rule a sampler."""

from tinylab.registry import Registry

__all__ = ["SAMPLERS"]

SAMPLERS: Registry = Registry("sampler")
SAMPLERS.register(
    "ddpm", "tinylab.sampling.ancestral:step", summary="ancestral sampling, learned variance", label="DDPM"
)
SAMPLERS.register("ddim", "tinylab.sampling.ddim:step", summary="deterministic DDIM, eta 0", label="DDIM")
