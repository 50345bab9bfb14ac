"""From noise and classes to images."""

from collections.abc import Callable

import torch
from torch import Tensor

from tinylab.diffusion import Objective
from tinylab.models.base import Denoiser
from tinylab.sampling import SAMPLERS, sampler_for
from tinylab.sampling.base import ImageNoise, NoiseSource, Sampling, Settings

__all__ = ["Settings", "generate", "steps_taken"]


def steps_taken(model: Denoiser, wanted: int) -> int:
    """The steps that sampling really takes: a MAR has no use for more rounds than it has tokens."""
    return min(wanted, getattr(model, "num_tokens", wanted))


@torch.inference_mode()
def generate(
    model: Denoiser,
    objective: Objective,
    labels: Tensor,
    settings: Settings,
    *,
    first: int = 0,
    noise: NoiseSource | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw one image for each class in `labels` (N,): (N, C, H, W), not clipped.

    Equal settings give every model the same noise at every step, and image `first + i` is the same in any batch.

    Args:
        first: index of the first image, for sampling a large set in batches.
        noise: where randomness comes from, in place of the seeded noise of every image.
        on_step: called with the number of finished steps.
    """
    source = noise or ImageNoise(len(labels), settings.seed, first)
    sampling = Sampling(model, objective, labels.to(next(model.parameters()).device), settings, source)
    images = torch.empty(0)
    for done, x in enumerate(SAMPLERS.get(sampler_for(model.family, settings.sampler))(sampling), start=1):
        images = x
        if on_step:
            on_step(done)
    return images
