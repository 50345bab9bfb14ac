"""Everything that a `CostConfig` asks for, measured in one process."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from tinylab.config import CostConfig
from tinylab.errors import Failure
from tinylab.jobs.context import JobContext
from tinylab.jobs.cost.contenders import Contender, contenders_of
from tinylab.jobs.cost.timing import (
    SHARE_ROUNDS,
    Progress,
    Ticker,
    Timing,
    machine_of,
    speedup,
    time_contenders,
    time_shares,
)
from tinylab.metrics.parts import Shares, parameters_by_part
from tinylab.models.load import pick_device
from tinylab.sampling import sampler_for
from tinylab.sampling.generate import Settings

__all__ = ["measure_costs", "run"]


def measure_costs(config: CostConfig, progress: Progress, should_stop: Callable[[], bool]) -> dict[str, Any]:
    """Size, arithmetic, speed and memory of all contenders, as the result of a `cost` run.

    Raises:
        BadRequest: no such model or device.
        Failure: the memory of the GPU does not suffice.
        Stopped: `should_stop` returned True.
    """
    contenders = contenders_of(config)
    full = contenders[0]
    every = itertools.product(config.batch_sizes, config.step_counts)
    cases = list(dict.fromkeys((batch, full.steps(steps)) for batch, steps in every))  # of a MAR some are the same
    drawings = (2 + config.rounds) * len(contenders) + SHARE_ROUNDS
    scored = -(-config.equal_seconds // cases[0][0]) * len(contenders)
    ticker = Ticker(len(contenders) + drawings * len(cases) + scored, progress, should_stop)
    models = [_model(contender, config, ticker) for contender in contenders]
    rows, shares = [], list[Shares]()
    try:
        for batch, steps in cases:
            measured, found = _measure(contenders, config, batch, steps, ticker)
            rows += measured
            shares.append(found)
    except torch.cuda.OutOfMemoryError:
        raise Failure(f"{batch} images at once do not fit the GPU; name smaller --batch-sizes") from None
    equal = None
    if config.equal_seconds:
        from tinylab.jobs.cost.equal_seconds import compare_at_equal_seconds  # scores load slowly

        equal = compare_at_equal_seconds(contenders, rows[: len(contenders)], config, ticker)
    return {
        "machine": machine_of(pick_device(config.device), config.precision),
        "sampling": {
            "family": full.model.family,
            "sampler": sampler_for(full.model.family, config.sampler),
            "guidance": config.guidance,
        },
        "models": models,
        "rows": rows,
        "shares": {name: getattr(shares[0], name) for name in ("blocks", "embedders", "head", "rest")},
        "equal_seconds": equal,
    }


def _settings(config: CostConfig, steps: int) -> Settings:
    return Settings(config.sampler, steps, config.guidance, config.seed)


def _model(contender: Contender, config: CostConfig, ticker: Ticker) -> dict[str, Any]:
    ticker.next(f"counting, {contender.label}")
    return {
        "label": contender.label,
        "source": contender.source,
        "kind": contender.kind,
        "cache": str(contender.cache) if contender.cache else None,
        "depth": contender.model.stack_depths(),
        "parameters": parameters_by_part(contender.model),
        "macs": contender.macs(_settings(config, contender.steps(config.step_counts[0]))),
    }


def _measure(
    contenders: Sequence[Contender], config: CostConfig, batch: int, steps: int, ticker: Ticker
) -> tuple[list[dict[str, Any]], Shares]:
    """The rows of one batch size and number of steps, and where the full model's time goes."""
    settings, what = _settings(config, steps), f"batch {batch}, {steps} steps"
    timings = time_contenders(
        contenders,
        batch,
        settings,
        config.rounds,
        next_round=lambda message, done: ticker.next(f"{what}, {message}", done),
        on_step=ticker.on_step,
    )
    ticker.next(f"{what}, shares of time", len(contenders))
    shares = time_shares(contenders[0], batch, settings, ticker.on_step)
    ticker.next(f"{what}, done", SHARE_ROUNDS)
    pairs = enumerate(zip(contenders, timings, strict=True))
    rows = [_row(i, contender, contenders[0], timing, timings[0], shares) for i, (contender, timing) in pairs]
    return [
        {**row, "batch": batch, "steps": steps, "images_per_second": batch / row["seconds"]} for row in rows
    ], shares


def _row(
    index: int, contender: Contender, full: Contender, timing: Timing, whole: Timing, shares: Shares
) -> dict[str, Any]:
    low, high = timing.quartiles
    return {
        "model": index,
        "seconds": timing.median,
        "low": low,
        "high": high,
        "rounds": len(timing.seconds),
        "peak_bytes": timing.peak,
        "speedup": speedup(whole, timing),
        "limit": contender.depth_ratio(full),
        "expected": contender.expected_speedup(full, shares),
        "blocks_share": shares.blocks,
    }


def run(config: CostConfig, context: JobContext) -> dict[str, Any]:
    """What `measure_costs` finds; a run that was stopped begins again, because only what one process timed compares."""
    return measure_costs(config, context.progress, context.should_stop)
