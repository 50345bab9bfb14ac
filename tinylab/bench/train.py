"""What training steps of recovery cost, and what the loop adds to forward, backward and optimizer."""

import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from tinylab.bench.subject import SearchOptions, build_model
from tinylab.config import FinetuneConfig
from tinylab.config.choices import LOSSES
from tinylab.data.base import Dataset, load_data
from tinylab.data.catalog import DIGITS
from tinylab.data.latent_index import LatentIndex, Shard, shard_name, write_index
from tinylab.data.shards import file_digest
from tinylab.diffusion import objective_for
from tinylab.errors import BadRequest
from tinylab.jobs.cost.contenders import every_second_block
from tinylab.metrics.cost import interleaved_seconds, synchronised_time
from tinylab.models.base import Denoiser
from tinylab.models.load import pick_device
from tinylab.pruning.plan import DepthPlan
from tinylab.pruning.surgery import apply_plan
from tinylab.runs.metrics_db import MetricsWriter
from tinylab.training.loop import LoopTimes, run_loop
from tinylab.training.precision import autocast, configured, models_of
from tinylab.training.recorder import StepRecord
from tinylab.training.recover import RecoverTask

__all__ = ["TrainOptions", "TrainRow", "measure_training", "write_random_latents"]

_LATENTS = 512  # in two shards: enough that a step does not read the same ones as the last


@dataclass(frozen=True)
class TrainOptions:
    """What is measured: the model of `sizes` cut to every second block, taught by itself.

    Attributes:
        sizes: model, batch (the first), precision, device, rounds, and whether blocks are compiled.
        losses: names of losses.
        steps: training steps a round.
        workers: threads that read ahead.

    Raises:
        BadRequest: one of them cannot be.
    """

    sizes: SearchOptions
    losses: tuple[str, ...] = ("diffusion", "logit", "masked-kd")
    steps: int = 10
    workers: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.losses if name not in LOSSES.names()]
        if unknown or not self.losses:
            raise BadRequest(
                f"--losses {unknown[0] if unknown else '(empty)'}: use some of {', '.join(LOSSES.names())}"
            )
        if not 1 <= self.steps <= 10_000:
            raise BadRequest(f"--steps {self.steps}: take 1 to 10000 steps a round")
        if not 0 <= self.workers <= 64:
            raise BadRequest(f"--workers {self.workers}: use 0 to 64 threads")


@dataclass(frozen=True)
class TrainRow:
    """One loss.

    Attributes:
        samples_per_second: images that the whole loop trains on in a second.
        seconds: median time of a step in the loop: batches, records, averages and clipping included.
        bare_seconds: median time of forward, backward and optimizer alone, on one batch that lies ready.
        overhead: what the loop adds, as a share of that.
        data_wait: share of the loop's time spent waiting for batches.
    """

    loss: str
    batch: int
    samples_per_second: float
    seconds: float
    bare_seconds: float
    overhead: float
    data_wait: float
    blocks: int
    teacher_blocks: int
    dtype: str
    device: str
    workers: int


def measure_training(options: TrainOptions, progress: Callable[[str], None]) -> list[TrainRow]:
    """One row for every loss; the loop and its bare steps are measured in turn, a few steps at a time."""
    teacher = build_model(options.sizes).eval()
    plan = every_second_block(teacher)
    rows = []
    with _data_for(teacher) as data, tempfile.TemporaryDirectory() as folder:
        for loss in options.losses:
            progress(f"training steps, {loss}")
            config = _config(options, loss)
            task = RecoverTask(apply_plan(teacher, plan), teacher, plan, objective_for(teacher), data, config)
            rows.append(_row(options, plan, loss, *_measure(task, config, options, Path(folder) / f"{loss}.db")))
    return rows


def _config(options: TrainOptions, loss: str) -> FinetuneConfig:
    sizes = options.sizes
    return FinetuneConfig.create(
        loss=loss,
        steps=options.steps,
        batch_size=sizes.batches[0],
        precision=sizes.dtype,
        compile=sizes.with_compile,
        workers=options.workers,
        device=sizes.device,
    )


@contextlib.contextmanager
def _data_for(model: Denoiser) -> Iterator[Dataset]:
    """The digits for a model of them; for others latents that are read from the disk as in earnest."""
    if model.sample_shape == (1, 8, 8):
        yield load_data(DIGITS)[0]
        return
    with tempfile.TemporaryDirectory() as folder:
        write_random_latents(Path(folder), _LATENTS, model.sample_shape, model.num_classes)
        yield load_data(folder)[0]


def _measure(
    task: RecoverTask, config: FinetuneConfig, options: TrainOptions, metrics: Path
) -> tuple[list[float], list[float], list[LoopTimes]]:
    """Seconds of `steps` bare steps, and of as many in the loop, in every round; what the loop says of each."""
    batch, told = task.batch(0, slice(0, task.images)).to(task.device), list[LoopTimes]()
    recorder = _Recorder(metrics)

    def bare() -> None:
        with configured(models_of(task), config):
            for step in range(config.steps):
                task.optimizer.zero_grad(set_to_none=True)
                task.begin(step)
                with autocast(config, task.device):
                    loss = task.loss(step, batch)
                loss.backward()
                task.optimizer.step()

    def looped() -> None:
        told.append(run_loop(task, config, None, recorder))

    work = {"bare": bare, "loop": looped}
    try:
        interleaved_seconds(work, rounds=1)  # warm-up, and the compiler's time
        told.clear()
        seconds = interleaved_seconds(work, rounds=options.sizes.rounds, budget=float("inf"), clock=synchronised_time)
    finally:
        recorder.close()
    return seconds["bare"], seconds["loop"], told


def _row(
    options: TrainOptions, plan: DepthPlan, loss: str, bare: list[float], loop: list[float], told: list[LoopTimes]
) -> TrainRow:
    batch, steps = options.sizes.batches[0], options.steps
    # A training is set up once, for thousands of steps: what counts is the time from its first step to its last.
    seconds, plain = statistics.median(t.seconds for t in told) / steps, statistics.median(bare) / steps
    return TrainRow(
        loss=loss,
        batch=batch,
        samples_per_second=batch / seconds,
        seconds=seconds,
        bare_seconds=plain,
        overhead=statistics.median(t.seconds / b - 1 for t, b in zip(told, bare, strict=True)),
        data_wait=sum(t.waited for t in told) / sum(t.seconds for t in told),
        blocks=plan.total,
        teacher_blocks=sum(plan.depth.values()),
        dtype=options.sizes.dtype,
        device=pick_device(options.sizes.device).type,
        workers=options.workers,
    )


class _Recorder:
    """Writes what a run folder's recorder writes."""

    def __init__(self, path: Path) -> None:
        self._writer = MetricsWriter(path)

    def rewind(self, step: int) -> None:
        """Forget records after `step`."""
        self._writer.rewind(step)

    def record(self, step: int, record: StepRecord) -> None:
        """Store one logged step."""
        self._writer.write(step, record)

    def progress(self, step: int, steps: int) -> None:
        """Nobody looks."""

    def should_stop(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


_SHARDS = 2


def write_random_latents(folder: Path, count: int, shape: tuple[int, int, int], num_classes: int) -> None:
    """Write `count` latents of Gaussian noise, shape (C, H, W), with mirrored twins in float16, as `tinylab encode`
    does."""
    generator, shards = torch.Generator().manual_seed(0), []
    for number in range(_SHARDS):
        rows = len(range(number, count, _SHARDS))
        latents = torch.randn(rows, *shape, generator=generator).half()
        labels = torch.randint(num_classes, (rows,), generator=generator)
        path = folder / shard_name(number)
        save_file({"latents": latents, "flipped": latents.flip(3).contiguous(), "labels": labels}, path)
        shards.append(Shard(path.name, rows, path.stat().st_size, file_digest(path)))
    index = LatentIndex(
        shape=shape,
        dtype="float16",
        flips=True,
        posterior="sample",
        scaling_factor=1.0,
        shift_factor=None,
        class_names=tuple(f"class {number}" for number in range(num_classes)),
        vae={"name": "noise", "sha256": ""},
        source={"name": "noise", "count": count, "sha256": "", "size": shape[1], "seed": 0, "skipped": 0},
        shards=tuple(shards),
    )
    write_index(folder, index)
