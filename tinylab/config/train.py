"""Making a teacher."""

from typing import ClassVar, Literal

from pydantic import Field

from tinylab.config.base import Decay, LoopConfig, Rate

__all__ = ["TrainConfig"]


class TrainConfig(LoopConfig):
    """Train a built-in model from nothing."""

    kind: Literal["train"] = "train"
    summary: ClassVar[str] = "train a built-in model from nothing"

    preset: str = Field("digits-dit", description="what to train; fills in every value not given")
    lr: Rate = Field(1e-3, description="largest learning rate of AdamW")
    warmup: int = Field(200, ge=0, description="steps of linear warm-up; then a cosine to zero")
    ema_decay: Decay = Field(0.999, description="decay of the averaged weights that are saved")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of classes hidden, for guidance")
    judged_samples: int = Field(1000, ge=0, le=100_000, description="samples that the digit reader judges at the end")
