"""A DiT and the DiTPipeline of diffusers that it is exported to, made to draw the same from the same noise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, DiTPipeline
from torch import Tensor

from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.models.autoencoder.load import Autoencoder, load_autoencoder
from tinylab.models.base import Denoiser
from tinylab.models.diffusers.layout import to_diffusers
from tinylab.models.diffusers.pipeline import SAMPLER_FOLDER
from tinylab.models.networks.dit import DiT
from tinylab.sampling.base import GivenNoise
from tinylab.sampling.generate import Settings, generate

__all__ = ["Sides"]

# A small autoencoder of its own: both sides decode with it, and it is not what is measured.
_VAE: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 2,
    "use_post_quant_conv": False,  # then its decoder is given the scaled latents as they are
}


class Sides:
    """A DiT and the pipeline that it is exported to, with one autoencoder.

    The pipeline's time frequencies are set to those of the published network, so that both compute the same; that
    changes no time.

    Attributes:
        notes: what a stock pipeline does otherwise.
    """

    def __init__(self, model: Denoiser, folder: Path, device: str) -> None:
        assert isinstance(model, DiT)  # see check_pipeline
        self.model, self._folder = model, folder
        with torch.random.fork_rng():
            torch.manual_seed(0)
            vae = AutoencoderKL(**_VAE, latent_channels=model.sample_shape[0])
        self.notes = to_diffusers(model, folder, vae=vae)
        self.autoencoder: Autoencoder = load_autoencoder(str(folder / "vae"), device)
        self.pipeline: Any = DiTPipeline.from_pretrained(folder, use_safetensors=True).to(self.device)
        self.pipeline.set_progress_bar_config(disable=True)
        for block in self.pipeline.transformer.transformer_blocks:
            block.norm1.emb.time_proj.downscale_freq_shift = 0

    @property
    def device(self) -> torch.device:
        """Where both compute."""
        return next(self.model.parameters()).device

    @cached_property
    def objective(self) -> GaussianDiffusion:
        """The published chain."""
        return GaussianDiffusion().to(self.device)

    def ours(self, labels: Tensor, settings: Settings) -> Tensor:
        """Pictures (N, 3, H, W) as Tinylab draws them."""
        return self.autoencoder.decode(generate(self.model, self.objective, labels, settings))

    def pipelines(self, labels: Tensor, settings: Settings) -> Tensor:
        """Pictures (N, 3, H, W) as the pipeline draws them, with the steps that suit its scheduler."""
        self.pipeline.scheduler = self._scheduler(settings.sampler)
        generator = torch.Generator().manual_seed(settings.seed)
        return self.pipeline(
            labels.tolist(),
            guidance_scale=settings.guidance,
            generator=generator,
            num_inference_steps=settings.steps,
            output_type="pt",
        ).images

    def latents(self, labels: Tensor, settings: Settings) -> tuple[Tensor, Tensor] | None:
        """Latents (N, C, H, W) of both sides from the same noise, with the same steps, all channels guided.

        None for DDPM with a learned variance, which the pipeline drops.
        """
        if settings.sampler == "ddpm" and self.model.config["learn_sigma"]:
            return None
        torch.manual_seed(settings.seed)  # a DDPM scheduler within a pipeline has no generator of its own
        found: list[Tensor] = []
        handle = self.pipeline.vae.decoder.register_forward_pre_hook(lambda module, args: found.append(args[0]))
        self.pipelines(labels, settings)
        handle.remove()
        chain = _LeadingTimes() if settings.sampler == "ddim" else GaussianDiffusion()
        with _all_channels_guided(self.model):
            noise = self._pipelines_noise(len(labels), settings)
            ours = generate(self.model, chain.to(self.device), labels, settings, noise=noise)
        return ours, found[0] * self.pipeline.vae.config.scaling_factor

    def _scheduler(self, sampler: str) -> Any:
        if sampler == "ddim":
            return DDIMScheduler.from_pretrained(self._folder, subfolder="scheduler")
        # The pipeline gives it the noise alone: only a fixed variance can be had.
        return DDPMScheduler.from_pretrained(self._folder, subfolder=SAMPLER_FOLDER, variance_type="fixed_small")

    def _pipelines_noise(self, count: int, settings: Settings) -> GivenNoise:
        """The noise that the pipeline draws for `count` images: guided ones are drawn twice, and the first count."""
        copies = count * (2 if settings.guidance > 1 else 1)
        start = torch.randn(count, *self.model.sample_shape, generator=torch.Generator().manual_seed(settings.seed))
        torch.manual_seed(settings.seed)
        where = self.device
        steps = [torch.randn(copies, *self.model.sample_shape, device=where)[:count] for _ in range(settings.steps - 1)]
        return GivenNoise(start, steps)


class _LeadingTimes(GaussianDiffusion):
    """The chain whose steps are respaced to 0, T/n, 2T/n, … as diffusers' DDIM assumes; the published first and last
    steps are those of the chain."""

    def respaced(self, count: int) -> GaussianDiffusion:
        times = torch.arange(count) * (self.num_steps // count)
        product = self.alphas_cumprod.cpu()[times]
        previous = torch.cat([torch.ones(1, dtype=torch.float64), product[:-1]])
        return GaussianDiffusion(1 - product / previous, times).to(self.timesteps.device)


@contextlib.contextmanager
def _all_channels_guided(model: DiT) -> Iterator[None]:
    """Within the context guidance acts on all channels, as in the pipeline; the published code guides the first 3."""

    def guided(x: Tensor, t: Tensor, y: Tensor, scale: float) -> Tensor:
        both = model.forward_with_cfg(torch.cat([x, x]), t.expand(len(y)), y, scale, guided_channels=x.shape[1])
        return both[: len(x)]

    model.guided = guided  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.guided
