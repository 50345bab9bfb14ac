"""What a search step costs in every way that gates can run, against the dense one: time, memory, error."""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tinylab.bench.subject import SearchOptions, Subject, build_model, prepare
from tinylab.errors import Failure
from tinylab.metrics.cost import count_flops, count_parameters, interleaved_seconds, peak_flops
from tinylab.metrics.memory import peak_bytes, saved_bytes
from tinylab.models.base import Denoiser
from tinylab.pruning.gates import Way
from tinylab.training.precision import CompiledBlocks, fresh_compiler

__all__ = ["SearchRow", "gradient_error", "measure_search"]

Gradients = Mapping[str, Tensor | None]


@dataclass(frozen=True)
class SearchRow:
    """One mode at one size. A step draws masks and goes forward and back; the optimizer is left out, because its time
    is the same in every mode.

    Attributes:
        mode: dense, exact or sampled; with `+compile` where the blocks are compiled.
        weights: what moves along with the mask.
        speedup: median seconds of the dense step, over those of this one.
        seconds: median of a step.
        spread: between the quartiles of the times, in seconds.
        memory_ratio: to the dense step.
        memory_bytes: on a CPU what autograd keeps for the backward pass, weights and inputs left out; on a GPU the
            most that a step had allocated.
        gradient_error: |g - dense| / |dense| of the worst gradient, for the same masks; of the weights, and where the
            mode is not `sampled` also of the mask. None where there is none.
        mask_gradient_error: the same of the mask's gradient alone, all logits together. In the mode `sampled` it is an
            unbiased guess.
        compile_seconds: what the first steps took longer, because they compiled; None for those that do not.
        flops: of a step, as this mode runs it.
        tflops: 1e12 of them a second.
        peak_share: of what the card can do in bfloat16; None elsewhere.
    """

    mode: str
    weights: str
    speedup: float
    seconds: float
    spread: float
    memory_ratio: float
    memory_bytes: int
    gradient_error: float | None
    mask_gradient_error: float | None
    compile_seconds: float | None
    model: str | None
    width: int
    tokens: int
    blocks: int
    batch: int
    pattern: str
    dtype: str
    device: str
    parameters: int
    flops: int
    tflops: float
    peak_share: float | None


def measure_search(options: SearchOptions, progress: Callable[[str], None]) -> list[SearchRow]:
    """One row for every batch size, kind of weights and mode; modes are measured in turn.

    Raises:
        BadRequest: no such model or device; the pattern does not fit.
        Failure: the memory of the GPU does not suffice.
    """
    rows = []
    try:
        for weights in options.weights:
            model = build_model(options)
            parameters = count_parameters(model)
            for batch in options.batches:
                subject = prepare(options, model, weights=weights, batch=batch)
                progress(f"search steps, {weights}, batch {batch}")
                with fresh_compiler() if options.with_compile else nullcontext():
                    runs = _measure(subject, options, progress)
                rows += [_row(options, subject, weights, parameters, run, runs[0]) for run in runs]
    except torch.cuda.OutOfMemoryError:
        raise Failure(f"batch {batch} with {weights} weights does not fit the GPU; name a smaller --batch") from None
    return rows


@dataclass
class _Run:
    """One mode and what was measured of it."""

    way: Way
    compiled: CompiledBlocks | None
    subject: Subject
    seeds: Iterator[int] = field(default_factory=itertools.count)
    first: float = 0.0
    flops: int = 0
    memory: int = 0
    errors: tuple[float | None, float | None] = (None, None)
    seconds: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.way + ("+compile" if self.compiled else "")

    def step(self) -> Gradients:
        """The next step. All modes draw the same masks in their n-th step."""
        context: AbstractContextManager[None] = self.compiled.applied() if self.compiled else nullcontext()
        with context:
            return self.subject.gradients(self.way, next(self.seeds))


def _measure(subject: Subject, options: SearchOptions, progress: Callable[[str], None]) -> list[_Run]:
    """All modes, dense first."""
    ways: list[Way] = ["dense", *(mode for mode in options.modes if mode != "dense")]  # type: ignore[list-item]
    runs = [_Run(way, None, subject) for way in ways]
    if options.with_compile:
        runs += [_Run(way, CompiledBlocks(subject.model), subject) for way in ways]
    reference = subject.gradients("dense", 0)
    for run in runs:
        progress(f"  first steps, {run.name}")
        began = time.perf_counter()
        found = run.step()
        run.errors = _errors(run.way, found, reference)
        del found
        run.memory = _memory(subject, run.step)
        run.first = time.perf_counter() - began
        run.flops = next((other.flops for other in runs if other.way == run.way and other.flops), 0)
        if not run.flops:
            run.flops = count_flops(run.step)
        else:
            run.step()
    del reference
    progress(f"  {options.rounds} rounds")
    work = {run.name: run.step for run in runs}
    seconds = interleaved_seconds(work, rounds=options.rounds, budget=math.inf)
    for run in runs:
        run.seconds = seconds[run.name]
    return runs


def _memory(subject: Subject, step: Callable[[], object]) -> int:
    if subject.x.is_cuda:
        return peak_bytes(step, subject.x.device)
    return saved_bytes(step, apart_from=subject.lasting())


def _errors(way: str, found: Gradients, reference: Gradients) -> tuple[float | None, float | None]:
    """The worst error where gradients should be equal, and that of the mask."""
    logits = [name for name in reference if name.startswith("mask.")]
    equal = [name for name in reference if way != "sampled" or name not in logits]
    worst = max((gradient_error([found[n]], [reference[n]]) for n in equal), default=None)
    return worst, gradient_error([found[n] for n in logits], [reference[n] for n in logits])


def gradient_error(found: list[Tensor | None], wanted: list[Tensor | None]) -> float:
    """|found - wanted| / |wanted| of all tensors together; None stands for zeros. Infinite where only `wanted` is 0."""
    gap, size = 0.0, 0.0
    for f, w in zip(found, wanted, strict=True):
        if w is not None:
            size += w.double().square().sum().item()
        difference = f if w is None else w if f is None else f - w
        if difference is not None:
            gap += difference.double().square().sum().item()
    return math.sqrt(gap / size) if size else (math.inf if gap else 0.0)


def _row(options: SearchOptions, subject: Subject, weights: str, parameters: int, run: _Run, dense: _Run) -> SearchRow:
    median = statistics.median(run.seconds)
    low, _, high = statistics.quantiles(run.seconds, n=4) if len(run.seconds) > 1 else (median,) * 3
    device, rate = subject.x.device, run.flops / median
    peak = peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return SearchRow(
        mode=run.name,
        weights=weights,
        speedup=statistics.median(dense.seconds) / median,
        seconds=median,
        spread=high - low,
        memory_ratio=run.memory / max(1, dense.memory),
        memory_bytes=run.memory,
        gradient_error=run.errors[0],
        mask_gradient_error=run.errors[1],
        compile_seconds=max(0.0, run.first - 2 * median) if run.compiled else None,
        model=options.model,
        **_sizes(subject.model),
        batch=len(subject.x),
        pattern=options.pattern,
        dtype=options.dtype,
        device=device.type,
        parameters=parameters,
        flops=run.flops,
        tflops=rate / 1e12,
        peak_share=rate / peak if peak and options.dtype == "bfloat16" else None,
    )


def _sizes(model: Denoiser) -> dict[str, int]:
    from tinylab.models.families import FAMILIES

    family, config = FAMILIES[model.family], model.config
    side = model.sample_shape[1] // config["patch_size"]
    return {"width": config[family.width], "tokens": side**2, "blocks": sum(model.stack_depths().values())}
