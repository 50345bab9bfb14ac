"""Making a cut model good again."""

import math
from typing import ClassVar, Literal

from pydantic import Field

from tinylab.config.base import Block, Decay, JobConfig, LoopConfig, Rate, Steps
from tinylab.config.choices import LossName, WarmStart
from tinylab.seeds import Seeds

__all__ = ["CutConfig", "FinetuneConfig", "LayerMap", "RecipesConfig"]

LayerMap = Literal["kept", "span", "published"]


class CutConfig(JobConfig):
    """What every job has that begins with a cut model."""

    model: str | None = Field(None, description="the full model; default: the one the plan was made for")
    data: str = Field("auto", description="what to learn from: digits, a folder of latents, or an encode run")
    plan: str | None = Field(None, description="plan.json, or a finished search or prune, that holds what to keep")
    run: str | None = Field(None, description="a finished search or prune run: its model and its plan")
    indices: tuple[Block, ...] | None = Field(
        None, description="the blocks to keep, as 0,2,5 or e0,d2,d5, in place of a plan"
    )


class FinetuneConfig(CutConfig, LoopConfig):
    """Recover the quality of a cut model by training it on, alone or taught by the model that it was cut from."""

    kind: Literal["finetune"] = "finetune"
    summary: ClassVar[str] = "recover a cut model by training it on"

    recipe: str = Field("quick", description="quick, plain or published; fills in every value not given")
    # The defaults of loss, beta, map and warm start are the recipe that came out best in docs/study.md.
    loss: LossName = Field("feature", description="what the student is trained with")
    alpha: float = Field(0.9, ge=0, le=1, description="weight of the teacher's output; the images get the rest")
    beta: float = Field(0.1, ge=0, le=1000, description="weight of the hidden states at the first step")
    beta_decay: Literal["linear", "cosine", "none"] = Field("linear", description="how that weight falls to zero")
    mask_sigma: float = Field(
        2.0, gt=0, le=100, description="standard deviations beyond which masked-kd leaves a hidden value out"
    )
    mask: Literal["separate", "joint"] = Field(
        "separate",
        description="masked-kd: each side leaves out its own extremes, as published, or both what either does",
    )
    layer_map: LayerMap = Field(
        "span",
        description="whose hidden states a block learns: its own in the teacher, the last of the span it stands for, "
        "or every (depth/kept)-th, as published",
    )
    warm_start: WarmStart = Field("linear", description="what is done to the kept blocks before the training")
    warm_steps: Steps = Field(200, description="optimizer steps of the warm start align")
    steps: Steps = Field(1000, description="optimizer steps")
    checkpoint_every: Steps = Field(100, description="steps between two checkpoints")
    lr: Rate = Field(1e-3, description="largest learning rate of AdamW, for batches of --lr-batch images")
    lr_scaling: Literal["none", "sqrt", "linear"] = Field(
        "none", description="how the learning rate follows the batch size; the resolved one is printed"
    )
    lr_batch: int = Field(256, ge=1, le=65536, description="the batch size that --lr is meant for, where it is scaled")
    lr_floor: float = Field(0.1, ge=0, le=1, description="share of the learning rate that is left at the last step")
    warmup: int = Field(20, ge=0, description="steps of linear warm-up; then a cosine to the floor")
    ema_decay: Decay = Field(0.99, description="decay of the averaged weights that are saved")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of classes hidden, for guidance")
    snapshot_every: int = Field(100, ge=0, description="steps between two sample snapshots; 0 for none")
    scored_samples: int = Field(
        200, ge=0, le=100_000, description="samples whose fidelity each snapshot scores, of digits; 0 for none"
    )

    @property
    def rate(self) -> float:
        """The largest learning rate, scaled to the batch size as asked."""
        ratio = self.batch_size / self.lr_batch
        return self.lr * {"none": 1.0, "sqrt": math.sqrt(ratio), "linear": ratio}[self.lr_scaling]


class RecipesConfig(CutConfig):
    """Recover one cut model by several recipes, each with several seeds, at equal steps and on equal batches, and set
    the results side by side. A recipe is a loss, alone or with settings of its own, as
    masked-kd:mask=joint+beta=0.1; without them beta is 0.01, the layer map `kept`, and there is no warm start."""

    kind: Literal["recipes"] = "recipes"
    summary: ClassVar[str] = "recover one cut model by several recipes, and compare"

    recipes: tuple[str, ...] = Field(
        (
            *("diffusion", "logit", "feature", "masked-kd", "masked-kd:mask=joint", "normalised", "bksdm"),
            *("diffusion:warm_start=mean", "diffusion:warm_start=linear", "diffusion:warm_start=align"),
            "feature:beta=0.1+layer_map=span+warm_start=linear",
        ),
        description="what to compare, as LOSS or LOSS:FIELD=VALUE+FIELD=VALUE; differences are to the first",
    )
    seeds: Seeds = Field((0, 1, 2, 3, 4), description="seeds of batches and noise, as 0-4")
    steps: Steps = Field(300, description="optimizer steps of each; those of the warm start align come on top")
    batch_size: int = Field(32, ge=1, le=65536, description="images a step")
    lr: Rate = Field(5e-4, description="largest learning rate of AdamW")
    warmup: int = Field(20, ge=0, description="steps of linear warm-up; then a cosine to a tenth")
    ema_decay: Decay = Field(0.99, description="decay of the averaged weights")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of classes hidden, for guidance")
    scored_samples: int = Field(500, ge=0, le=100_000, description="samples of each model that are scored, of digits")
    workers: int = Field(1, ge=1, le=256, description="recoveries worked on at once, each in a process of its own")
    threads: int = Field(1, ge=0, le=256, description="CPU threads of each process; 0 leaves the choice to torch")
