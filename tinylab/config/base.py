"""What all job configs have in common."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tinylab.errors import BadRequest
from tinylab.seeds import Seed

__all__ = ["Block", "ClassName", "Decay", "JobConfig", "LoopConfig", "Rate", "Steps", "TrainConfig"]

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
    batch_size: int = Field(128, ge=1, le=65536, description="images a step, over all processes and micro-batches")
    accumulation: int = Field(1, ge=1, le=65536, description="micro-batches whose gradients make up a step")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="what matrix products are computed in; weights stay in float32"
    )
    gradient_checkpointing: bool = Field(
        False, description="compute blocks again in the backward pass instead of keeping their insides: less memory"
    )
    compile: bool = Field(
        False, description="compile the blocks with torch.compile; on a CPU it pays after some 600 to 800 steps"
    )
    workers: int = Field(0, ge=0, le=64, description="threads that read the next batches ahead; 0: none")
    tracker: Literal["none", "tensorboard", "trackio", "wandb"] = Field(
        "none", description="where curves go, too; needs `pip install tinylab[NAME]`"
    )
    clip: float = Field(1.0, gt=0, description="largest gradient norm")
    log_every: Steps = Field(10, description="steps between two records")
    checkpoint_every: Steps = Field(250, description="steps between two checkpoints")


def _first_problem(cls: type[JobConfig], error: ValidationError) -> str:
    problem = error.errors()[0]
    name = str(problem["loc"][0]) if problem["loc"] else "config"
    if problem["type"] == "extra_forbidden":
        valid = ", ".join(_flag(field) for field in cls.model_fields if field != "kind")
        return f"unknown option {_flag(name)!r}; valid ones: {valid}"
    message = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
    message = message[0].lower() + message[1:]
    return f"{_flag(name)}: {message} (got {problem['input']!r})"


def _flag(field: str) -> str:
    return field.replace("_", "-")


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
