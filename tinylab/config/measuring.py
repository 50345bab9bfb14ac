"""Measuring: how good samples are, and what a model costs."""

from typing import ClassVar, Literal

from pydantic import Field

from tinylab.config.base import ClassName, JobConfig
from tinylab.config.choices import SamplerName

__all__ = ["CostConfig", "EvaluateConfig"]

_Schedule = Literal["auto", "constant", "linear"]


class EvaluateConfig(JobConfig):
    """Score samples against real data: draw them from models, all alike, or read them from files."""

    kind: Literal["evaluate"] = "evaluate"
    summary: ClassVar[str] = "score samples against real data: FID, KID and others"

    model: str | None = Field(
        None,
        description="built-in name, model folder or run to draw from (default: digits-dit, if no images are given)",
    )
    against: tuple[str, ...] = Field((), description="further models, drawn from the same noise")
    images: tuple[str, ...] = Field((), description="pictures to score: npz files or folders")
    reference: str = Field(
        "auto", description="real data: digits, or pictures in an npz file or a folder; auto takes digits for digits"
    )
    extractor: str = Field(
        "auto",
        description="what sees the features: digit-reader, inception-v3, dinov2; auto takes the reader for digits",
    )
    weights: str | None = Field(
        None,
        description="file (inception-v3) or folder (dinov2) of the extractor's weights, where they are not at hand",
    )
    metrics: tuple[str, ...] = Field(
        (), description="of fid, sfid, kid, is, precision, recall, accuracy; default: all that the extractor allows"
    )
    n: int = Field(1000, ge=2, le=1_000_000, description="samples to draw of each model")
    classes: tuple[ClassName, ...] | None = Field(
        None, description="classes to draw in turn, by number or name, as 0,three; default: all"
    )
    sampler: SamplerName = Field("auto", description="how images are sampled; auto takes the first of the family")
    steps: int = Field(50, ge=1, le=1000, description="denoising steps; of a MAR rounds, at most one a token")
    guidance: float = Field(1.5, ge=0, le=100, description="classifier-free guidance scale; 1 is none")
    guidance_schedule: _Schedule = Field("auto", description="guidance over the rounds of a MAR; auto is linear growth")
    temperature: float = Field(1.0, gt=0, le=10, description="factor on the noise of a MAR's tokens")
    cache: str = Field(
        "none", description="reuse features over steps: none, interval:K or first-block:THRESHOLD; see `bench sample`"
    )
    vae: str | None = Field(None, description="diffusers folder of the AutoencoderKL that turns latents into pictures")
    batch_size: int = Field(
        250, ge=1, le=65536, description="images drawn at once; a resumed job begins at a whole batch"
    )
    pictures: bool = Field(False, description="write every sample as a PNG, too")
    resamples: int = Field(
        100, ge=0, le=10_000, description="bootstrap samples behind the interval of each score; 0 for no interval"
    )


class CostConfig(JobConfig):
    """Measure what models cost: weights and multiply-adds by part, seconds an image and memory, models in turn."""

    kind: Literal["cost"] = "cost"
    summary: ClassVar[str] = "measure size, arithmetic, speed and memory of models, in turn in one process"

    model: str = Field(
        "digits-dit",
        description="built-in name, model folder, run, or a published size such as DiT-XL/2 (random weights)",
    )
    against: tuple[str, ...] = Field(
        (), description="shallow models to compare with (default: the model with every second block)"
    )
    caches: tuple[str, ...] = Field(
        (), description="rivals that cache features over steps: interval:K, first-block:THRESHOLD; not for a MAR"
    )
    batch_sizes: tuple[int, ...] = Field((16,), description="images drawn at once, as 1,16")
    step_counts: tuple[int, ...] = Field((20,), description="denoising steps, as 20,50")
    sampler: SamplerName = Field("auto", description="how images are sampled; auto takes the first of the family")
    guidance: float = Field(1.5, ge=0, le=100, description="classifier-free guidance scale; 1 is none")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="what matrix products are computed in")
    rounds: int = Field(7, ge=1, le=10_000, description="how often each is measured, in turn; medians are shown")
    equal_seconds: int = Field(
        0, ge=0, le=100_000, description="samples of each rival to score at equal seconds an image; 0 for none"
    )
