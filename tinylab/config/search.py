"""Learning which layers to keep."""

from typing import ClassVar, Literal

from pydantic import Field

from tinylab.config.base import Decay, LoopConfig, Rate, Steps
from tinylab.config.choices import ESTIMATORS, EstimatorName
from tinylab.seeds import Seeds

__all__ = ["SearchConfig"]


class SearchConfig(LoopConfig):
    """Learn which layers to keep (TinyFusion). The defaults are the preset `quick`, made for the digit models."""

    kind: Literal["search"] = "search"
    summary: ClassVar[str] = "learn which layers to keep"

    preset: str = Field("quick", description="quick, thorough or published; fills in every value not given")
    model: str = Field("digits-dit", description="built-in name, model folder or run")
    data: str = Field("auto", description="what to learn from: digits, a folder of latents, or an encode run")
    pattern: str = Field(
        "half",
        description="what stays: N:M of every group, a mix as 2:4x2,3:4 or encoder=1:2;decoder=2:4, keep=K of all "
        "blocks, time=SHARE of the measured time, or half of each stack",
    )
    estimator: EstimatorName = Field("gumbel", description="how gradients pass through drawn masks")
    copies: int = Field(4, ge=2, le=64, description="masks for each image, for reinforce")
    objective: Literal["diffusion", "distill"] = Field(
        "diffusion", description="what masks are judged by: the model's own loss, or the distance to the full model"
    )
    decision: Literal["argmax", "perturbation"] = Field(
        "argmax", description="the likeliest mask, or fixing one group at a time by what it costs the loss"
    )
    skip: Literal["auto", "dense", "exact", "sampled"] = Field(
        "auto",
        description="how dropped samples run: all with gradients, without, or only a share; auto measures the first "
        "two, whose gradients are equal up to rounding, and takes the faster",
    )
    share: float = Field(0.25, gt=0, le=1, description="share of the dropped samples that sampled skip runs")
    seeds: Seeds = Field((), description="search with each of these seeds, as 0-4, and report what they agree on")
    weights: Literal["lora", "full", "frozen"] = Field("lora", description="how weights move along with the mask")
    steps: Steps = Field(250, description="optimizer steps")
    batch_size: int = Field(64, ge=1, le=65536, description="images a step, each with a mask of its own")
    # Layers this small gain nothing from a second thread, and one leaves a core to the page that watches.
    threads: int = Field(1, ge=0, le=256, description="CPU threads; 0 leaves the choice to torch")
    log_every: Steps = Field(5, description="steps between two records")
    checkpoint_every: Steps = Field(50, description="steps between two checkpoints")
    lr_mask: float = Field(1e-3, gt=0, le=10, description="learning rate of the mask logits")
    lr_weights: Rate = Field(1e-3, description="learning rate of the weights that move along")
    scaling: float = Field(100.0, gt=0, description="factor on the logits before the softmax")
    tau_start: float = Field(4.0, gt=0, description="Gumbel-softmax temperature at the first step; ReinMax keeps 1")
    tau_end: float = Field(0.1, gt=0, description="temperature at the last step; linear in between")
    ema_decay: Decay = Field(0.999, description="decay of the averaged logits that decide")
    lora_rank: int = Field(8, ge=1, le=1024, description="rank of the LoRA matrices")
    lora_alpha: int = Field(16, ge=1, description="LoRA scale times its rank")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of classes hidden, for guidance")

    @property
    def masks_per_image(self) -> int:
        """How many masks are drawn for each image: `copies` for an estimator that compares them, else one."""
        return self.copies if ESTIMATORS.entry(self.estimator).copies else 1
