"""Choosing layers by rules, and comparing choices."""

from typing import ClassVar, Literal

from pydantic import Field

from tinylab.config.base import Block, Decay, JobConfig, LoopConfig, Rate, Steps
from tinylab.seeds import Seeds

__all__ = ["PruneConfig", "CompareConfig", "StudyConfig"]


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
    samples: int = Field(512, ge=1, le=1_000_000, description="noised images that a scoring rule measures with")
    draws: int = Field(32, ge=1, le=100_000, description="random choices that best, median and worst of random draw")


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
    samples: int = Field(512, ge=1, le=1_000_000, description="noised images that a scoring rule measures with")


class StudyConfig(JobConfig):
    """Score every way to keep some of the blocks, before and after one short fine-tuning: the ground truth that all
    methods are ranked against. Candidates are fine-tuned in a random order by the seed, so that what is done
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
