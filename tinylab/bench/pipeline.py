"""Our sampling of a DiT beside diffusers' DiTPipeline on the same weights: times in turn, and how latents differ."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, DiTPipeline
from torch import Tensor

from tinylab.config import CostConfig
from tinylab.diffusion.gaussian import GaussianDiffusion
from tinylab.errors import BadRequest
from tinylab.jobs.cost.check import describe_subject
from tinylab.jobs.cost.contenders import load_or_build
from tinylab.jobs.cost.timing import machine_of
from tinylab.jobs.facts import Facts
from tinylab.metrics.cost import interleaved_seconds
from tinylab.models.autoencoder.load import Autoencoder, load_autoencoder
from tinylab.models.base import Denoiser
from tinylab.models.diffusers.layout import SAMPLER_FOLDER, to_diffusers
from tinylab.models.networks.dit import DiT
from tinylab.sampling import sampler_for
from tinylab.sampling.base import GivenNoise
from tinylab.sampling.generate import Settings, generate

__all__ = ["PipelineRow", "Sides", "check_pipeline", "measure_pipeline"]

_NULL_CLASS = 1000  # written into DiTPipeline


@dataclass(frozen=True)
class PipelineRow:
    """One sampler, batch size and number of steps.

    Attributes:
        seconds, pipeline_seconds: medians of a batch, from noise to decoded pictures.
        ratio: the median of the ratios of rounds, pipeline to ours: above 1 ours is faster.
        largest_difference: between the latents of one drawing from the same noise; None where both draw something else.
        largest_value: in those latents.
    """

    sampler: str
    batch: int
    steps: int
    seconds: float
    pipeline_seconds: float
    ratio: float
    rounds: int
    largest_difference: float | None
    largest_value: float | None


def check_pipeline(config: CostConfig) -> None:
    """BadRequest for what no DiTPipeline can draw."""
    subject = describe_subject(config.model, Facts())
    if subject.family.name != "dit":
        raise BadRequest(f"--pipeline: diffusers has a pipeline for a DiT only, {config.model} is another model")
    if config.guidance > 1 and subject.family.num_classes(subject.config) != _NULL_CLASS:
        raise BadRequest(
            f"--pipeline: DiTPipeline takes class {_NULL_CLASS} for the null class; name a model of as many classes "
            "such as DiT-S/2, or --guidance 1"
        )
    if config.guidance < 1:
        raise BadRequest("--pipeline: DiTPipeline does not guide below 1; use --guidance 1 or more")


def measure_pipeline(config: CostConfig, progress: Callable[[str], None]) -> dict[str, Any]:
    """Rows for every sampler, batch size and number of steps that `config` asks for, and what the two do otherwise.

    Raises:
        BadRequest: another model than a DiT, or one that the pipeline cannot guide.
    """
    check_pipeline(config)
    samplers = ("ddim", "ddpm") if config.sampler == "auto" else (sampler_for("dit", config.sampler),)
    model = load_or_build(config.model, config.device, config.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sides = Sides(model, Path(folder) / "pipeline", config.device)
        for sampler, batch, steps in itertools.product(samplers, config.batch_sizes, config.step_counts):
            progress(f"beside DiTPipeline: {sampler}, batch {batch}, {steps} steps")
            settings = Settings(sampler, steps, config.guidance, config.seed)
            rows.append(_row(sides, batch, settings, config))
    document = {"model": config.model, "guidance": config.guidance, "precision": config.precision}
    rows_of = [asdict(row) for row in rows]
    return {"machine": machine_of(sides.device, config.precision), **document, "rows": rows_of, "notes": sides.notes}


def _row(sides: Sides, batch: int, settings: Settings, config: CostConfig) -> PipelineRow:
    labels = torch.arange(batch) % sides.model.num_classes
    low = torch.autocast(sides.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    work = {"ours": partial(sides.ours, labels, settings), "pipeline": partial(sides.pipelines, labels, settings)}
    with low:
        interleaved_seconds(work, rounds=1)  # warm-up
        seconds = interleaved_seconds(work, rounds=config.rounds, budget=float("inf"))
        latents = sides.latents(labels, settings)
    pairs = list(zip(seconds["pipeline"], seconds["ours"], strict=True))
    return PipelineRow(
        settings.sampler,
        batch,
        settings.steps,
        seconds=statistics.median(seconds["ours"]),
        pipeline_seconds=statistics.median(seconds["pipeline"]),
        ratio=statistics.median(theirs / ours for theirs, ours in pairs),
        rounds=len(pairs),
        largest_difference=None if latents is None else (latents[0] - latents[1]).abs().max().item(),
        largest_value=None if latents is None else latents[1].abs().max().item(),
    )


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
