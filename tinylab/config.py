"""One frozen, validated config per job. The command line's flags and the app's fields derive from these."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tinylab.errors import BadRequest
from tinylab.seeds import Seed, Seeds

__all__ = [
    "CompareConfig",
    "EncodeConfig",
    "FinetuneConfig",
    "JobConfig",
    "LoopConfig",
    "PruneConfig",
    "SampleConfig",
    "SearchConfig",
    "StudyConfig",
    "TrainConfig",
    "config_types",
    "parse_config",
]

Steps = Annotated[int, Field(ge=1, le=10_000_000)]
Rate = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
# A block by its number or, in a model of several stacks, by its name, such as e3.
_Number = BeforeValidator(lambda value: int(value) if isinstance(value, str) and value.isdecimal() else value)
Block = Annotated[int | Annotated[str, Field(pattern=r"^[a-z_.]{1,64}\d{1,4}$")], _Number]
ClassName = Annotated[int | Annotated[str, Field(max_length=200)], _Number]


class JobConfig(BaseModel):
    """What every job has. Build one with `create`, which turns bad values into one clear line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: str
    summary: ClassVar[str]
    positional: ClassVar[str] = ""  # the field that the command line takes without a flag

    seed: Seed = Field(0, description="seed of everything random; equal seeds give equal results on a CPU")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to compute; auto takes a GPU if there is one"
    )
    threads: int = Field(0, ge=0, le=256, description="CPU threads; 0 leaves the choice to torch")

    @classmethod
    def create(cls, **values: Any) -> Self:
        """Validate `values`; BadRequest names the first wrong one and what it may be."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise BadRequest(_first_problem(cls, error)) from None

    def to_json(self) -> str:
        """The config as indented JSON; `parse_config` reads it back."""
        return self.model_dump_json(indent=2) + "\n"


class LoopConfig(JobConfig):
    """What every job that trains has. Lengths are optimizer steps, never epochs."""

    steps: Steps = Field(1000, description="optimizer steps")
    batch_size: int = Field(128, ge=1, le=65536, description="images a step")
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    log_every: Steps = Field(10, description="steps between two records")
    checkpoint_every: Steps = Field(250, description="steps between two checkpoints")


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
    estimator: Literal["gumbel", "reinmax", "reinforce"] = Field(
        "gumbel", description="how gradients pass through drawn masks; reinforce: leave-one-out over copies"
    )
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
    compile: bool = Field(
        False, description="compile the blocks with torch.compile; on a CPU it pays after some 600 to 800 steps"
    )
    seeds: Seeds = Field((), description="search with each of these seeds, as 0-4, and tell what they agree on")
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
    tau_start: float = Field(4.0, gt=0, description="Gumbel-softmax temperature at the first step")
    tau_end: float = Field(0.1, gt=0, description="temperature at the last step; linear in between")
    ema_decay: Decay = Field(0.999, description="decay of the averaged logits that decide")
    lora_rank: int = Field(8, ge=1, le=1024, description="rank of the LoRA matrices")
    lora_alpha: int = Field(16, ge=1, description="LoRA scale times its rank")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of classes hidden, for guidance")


class PruneConfig(JobConfig):
    """Choose layers by a rule, or by hand, and save the shallow model."""

    kind: Literal["prune"] = "prune"
    summary: ClassVar[str] = "choose layers by a rule or by hand and save the shallow model"

    model: str = Field("digits-dit", description="built-in name, model folder or run")
    data: str = Field("auto", description="what to measure with: digits, a folder of latents, or an encode run")
    method: str | None = Field(
        None, description="how to choose; `tinylab prune --list` names all methods (default: influence)"
    )
    keep: int = Field(0, ge=0, description="how many blocks to keep, wherever they are; 0 means half of them")
    pattern: str | None = Field(None, description="keep N of every M consecutive blocks, as 2:4, in place of --keep")
    indices: tuple[Block, ...] | None = Field(
        None, description="the blocks to keep, as 0,2,5, of two stacks as e0,d2,d5; implies --method indices"
    )
    plan: str | None = Field(None, description="apply this plan.json or finished search instead of a method")
    samples: int = Field(512, ge=1, le=1_000_000, description="noised images that a scoring rule looks at")
    draws: int = Field(32, ge=1, le=100_000, description="random choices that best, median and worst of random draw")


class FinetuneConfig(LoopConfig):
    """Recover the quality of a cut model by training it on."""

    kind: Literal["finetune"] = "finetune"
    summary: ClassVar[str] = "recover a cut model by training it on"

    model: str | None = Field(None, description="the full model; default: the one the plan was made for")
    data: str = Field("auto", description="what to learn from: digits, a folder of latents, or an encode run")
    plan: str | None = Field(None, description="plan.json, or a finished search or prune, that says what to keep")
    run: str | None = Field(None, description="a finished search or prune run: its model and its plan")
    indices: tuple[Block, ...] | None = Field(
        None, description="the blocks to keep, as 0,2,5 or e0,d2,d5, in place of a plan"
    )
    steps: Steps = Field(1000, description="optimizer steps")
    checkpoint_every: Steps = Field(100, description="steps between two checkpoints")
    lr: Rate = Field(1e-3, description="largest learning rate of AdamW")
    warmup: int = Field(20, ge=0, description="steps of linear warm-up; then a cosine to a tenth")
    ema_decay: Decay = Field(0.99, description="decay of the averaged weights that are saved")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of classes hidden, for guidance")
    snapshot_every: int = Field(100, ge=0, description="steps between two sample snapshots; 0 for none")


class SampleConfig(JobConfig):
    """Draw images, for one model or for several with the same noise, classes, guidance and steps."""

    kind: Literal["sample"] = "sample"
    summary: ClassVar[str] = "draw images, side by side for several models"

    model: str = Field("digits-dit", description="built-in name, model folder or run")
    against: tuple[str, ...] = Field((), description="further models, drawn from the same noise")
    n: int = Field(20, ge=1, le=100_000, description="number of images of each model")
    classes: tuple[ClassName, ...] | None = Field(
        None, description="classes to draw in turn, by number or name, as 0,three; default: all"
    )
    vae: str | None = Field(None, description="diffusers folder of the AutoencoderKL that turns latents into pictures")
    sampler: str = Field(
        "auto", description="DiT: ddpm, ddim; SiT: euler, heun, sde; MAR: masked; auto takes the first of its family"
    )
    steps: int = Field(50, ge=1, le=1000, description="denoising steps; of a MAR rounds, at most one a token")
    guidance: float = Field(1.5, ge=0, le=100, description="classifier-free guidance scale; 1 is none")
    guidance_schedule: Literal["auto", "constant", "linear"] = Field(
        "auto", description="guidance over the rounds of a MAR; auto is linear growth, as published"
    )
    temperature: float = Field(1.0, gt=0, le=10, description="factor on the noise of a MAR's tokens")
    batch_size: int = Field(250, ge=1, le=65536, description="images drawn at once")


class CompareConfig(LoopConfig):
    """Prune one model by several methods, fine-tune each by one recipe, and set the results side by side."""

    kind: Literal["compare"] = "compare"
    summary: ClassVar[str] = "prune by several methods, fine-tune each alike, and compare"

    model: str = Field("digits-dit", description="built-in name, model folder or run")
    data: str = Field("auto", description="what to learn from: digits, a folder of latents, or an encode run")
    methods: tuple[str, ...] = Field(
        ("influence", "oracle", "random"), description="methods, as a,b,c; learned or learned:2:4 searches the mask"
    )
    plans: tuple[str, ...] = Field((), description="finished searches or plan files to compare, too")
    keep: int = Field(0, ge=0, description="how many blocks to keep; 0 means half, or as many as the plans keep")
    pattern: str | None = Field(None, description="keep N of every M blocks, as 2:4, whatever the method")
    seeds: Seeds = Field((), description="seeds, as 0-4,7: each method chooses and is fine-tuned once with each")
    study: str | None = Field(None, description="a study or its candidates.csv: ranks what is chosen among all")
    search_steps: int = Field(
        0, ge=0, le=10_000_000, description="steps of each search of `learned`; 0: as the preset quick"
    )
    steps: int = Field(300, ge=0, le=10_000_000, description="fine-tuning steps for each; 0 for none")
    lr: Rate = Field(1e-3, description="largest learning rate of the fine-tuning")
    warmup: int = Field(20, ge=0, description="steps of linear warm-up; then a cosine to a tenth")
    ema_decay: Decay = Field(0.99, description="decay of the averaged weights")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of classes hidden, for guidance")
    samples: int = Field(512, ge=1, le=1_000_000, description="noised images that a scoring rule looks at")


class StudyConfig(JobConfig):
    """Score every way to keep some of the blocks, before and after one short fine-tuning: the ground truth that all
    methods are ranked against. Candidates are fine-tuned in a random order that the seed tells, so that what is done
    at any moment is a random sample of all."""

    kind: Literal["study"] = "study"
    summary: ClassVar[str] = "score every possible choice of layers, before and after fine-tuning"
    positional: ClassVar[str] = "what"

    what: Literal["exhaustive"] = Field("exhaustive", description="exhaustive: every choice")
    model: str = Field("digits-dit", description="built-in name, model folder or run")
    data: str = Field("auto", description="what to learn from: digits, a folder of latents, or an encode run")
    keep: int = Field(0, ge=0, description="how many blocks to keep; 0 means half of them")
    known: str | None = Field(None, description="an earlier study by the same recipe, whose losses are taken over")
    finetune: int = Field(0, ge=0, description="how many candidates are fine-tuned, at random; 0 for all of them")
    steps: Steps = Field(300, description="optimizer steps of each fine-tuning")
    batch_size: int = Field(32, ge=1, le=65536, description="images a step")
    lr: Rate = Field(5e-4, description="largest learning rate of AdamW")
    warmup: int = Field(20, ge=0, description="steps of linear warm-up; then a cosine to a tenth")
    ema_decay: Decay = Field(0.99, description="decay of the averaged weights")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of classes hidden, for guidance")
    workers: int = Field(1, ge=1, le=256, description="candidates worked on at once, each in a process of its own")
    threads: int = Field(1, ge=0, le=256, description="CPU threads of each process; 0 leaves the choice to torch")


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


def config_types() -> dict[str, type[JobConfig]]:
    """The config class of every kind of job."""
    kinds = (
        TrainConfig,
        SearchConfig,
        PruneConfig,
        FinetuneConfig,
        SampleConfig,
        CompareConfig,
        StudyConfig,
        EncodeConfig,
    )
    return {kind.model_fields["kind"].default: kind for kind in kinds}


def parse_config(text: str, source: str) -> JobConfig:
    """Read what `to_json` wrote; `source` is named when it is damaged."""
    try:
        values = json.loads(text)
        kind = config_types()[values["kind"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadRequest(f"{source} is not a job config; start the job anew") from None
    return kind.create(**values)


def _first_problem(cls: type[JobConfig], error: ValidationError) -> str:
    problem = error.errors()[0]
    name = str(problem["loc"][0]) if problem["loc"] else "config"
    if problem["type"] == "extra_forbidden":
        valid = ", ".join(_flag(field) for field in cls.model_fields if field != "kind")
        return f"unknown option {_flag(name)!r}; valid ones: {valid}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return f"{_flag(name)}: {message} (got {problem['input']!r})"


def _flag(field: str) -> str:
    return field.replace("_", "-")
