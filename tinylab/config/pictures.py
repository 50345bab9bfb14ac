"""Sampling images, and encoding pictures."""

from typing import ClassVar, Literal

from pydantic import Field

from tinylab.config.base import ClassName, JobConfig
from tinylab.config.choices import SamplerName

__all__ = ["SampleConfig", "EncodeConfig"]


class SampleConfig(JobConfig):
    """Sample images, for one model or for several with the same noise, classes, guidance and steps."""

    kind: Literal["sample"] = "sample"
    summary: ClassVar[str] = "sample images, side by side for several models"

    model: str = Field("digits-dit", description="built-in name, model folder or run")
    against: tuple[str, ...] = Field((), description="further models, drawn from the same noise")
    n: int = Field(20, ge=1, le=100_000, description="number of images of each model")
    classes: tuple[ClassName, ...] | None = Field(
        None, description="classes to draw in turn, by number or name, as 0,three; default: all"
    )
    vae: str | None = Field(None, description="diffusers folder of the AutoencoderKL that turns latents into pictures")
    sampler: SamplerName = Field("auto", description="how images are sampled; auto takes the first of the family")
    steps: int = Field(50, ge=1, le=1000, description="denoising steps; of a MAR rounds, at most one a token")
    guidance: float = Field(1.5, ge=0, le=100, description="classifier-free guidance scale; 1 is none")
    guidance_schedule: Literal["auto", "constant", "linear"] = Field(
        "auto", description="guidance over the rounds of a MAR; auto is linear growth, as published"
    )
    temperature: float = Field(1.0, gt=0, le=10, description="factor on the noise of a MAR's tokens")
    batch_size: int = Field(250, ge=1, le=65536, description="images drawn at once")


class EncodeConfig(JobConfig):
    """Encode pictures with an autoencoder, once, so that every training reads small latents instead."""

    kind: Literal["encode"] = "encode"
    summary: ClassVar[str] = "encode pictures into latents to train on"

    data: str = Field("", description="folder that holds a folder of pictures for each class, or an npz file")
    vae: str = Field("", description="diffusers folder of an AutoencoderKL")
    size: int = Field(256, ge=8, le=4096, description="side of the middle square taken of each picture, in pixels")
    flips: bool = Field(True, description="encode the mirror image, too, for training to choose from")
    posterior: Literal["sample", "mean"] = Field("sample", description="what to keep of the encoder's distribution")
    dtype: Literal["float16", "float32"] = Field("float16", description="how latents are stored")
    batch_size: int = Field(16, ge=1, le=4096, description="pictures encoded at once")
    shard_size: int = Field(4096, ge=1, le=1_000_000, description="pictures a file; resuming begins at a whole one")
    workers: int = Field(4, ge=1, le=256, description="pictures decoded at once")
    skip_broken: bool = Field(False, description="leave out and count the pictures that cannot be read")
