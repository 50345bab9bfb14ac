"""Time and memory of several contenders at one batch size and number of steps, in turn in one process."""

import math
import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tinylab.errors import Stopped
from tinylab.jobs.cost.contenders import Contender
from tinylab.metrics.cost import interleaved_seconds
from tinylab.metrics.memory import peak_bytes
from tinylab.metrics.parts import Shares, seconds_by_part
from tinylab.sampling.generate import Settings

__all__ = ["SHARE_ROUNDS", "Progress", "Ticker", "Timing", "machine_of", "speedup", "time_contenders", "time_shares"]

SHARE_ROUNDS = 3
Tick = Callable[[int], None]


@dataclass(frozen=True)
class Timing:
    """Seconds of every round, and the most bytes held at once, of one contender."""

    seconds: list[float]
    peak: int

    @property
    def median(self) -> float:
        """The median of a batch, in seconds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper one, in seconds."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, high


def speedup(full: Timing, other: Timing) -> float:
    """The median of the ratios of rounds: the two of a round met the same state of the machine."""
    return statistics.median(a / b for a, b in zip(full.seconds, other.seconds, strict=True))


def time_contenders(
    contenders: Sequence[Contender],
    batch: int,
    settings: Settings,
    rounds: int,
    *,
    budget: float = math.inf,
    next_round: Callable[[str, int], None] = lambda message, done: None,
    on_step: Tick | None = None,
) -> list[Timing]:
    """Draw `batch` images with each, in turn: to warm up, when memory is measured, too, then `rounds` times.

    Args:
        budget: seconds after which no further round is begun.
        next_round: called before every round with what it is, and the drawings that were done since the last call.
    """
    labels = torch.arange(batch) % contenders[0].model.num_classes
    work = {str(i): partial(c.draw, labels, settings, on_step=on_step) for i, c in enumerate(contenders)}
    next_round("warm-up", 0)
    peaks = [peak_bytes(work[str(i)], c.device, weights=c.model.parameters()) for i, c in enumerate(contenders)]
    for draw in work.values():  # and once more as it is: on a CPU memory is followed at some cost
        draw()
    seconds: dict[str, list[float]] = {name: [] for name in work}
    began = time.perf_counter()
    for number in range(rounds):
        if number and time.perf_counter() - began > budget:
            break
        next_round(f"round {number + 1} of {rounds}", len(work) * (2 if number == 0 else 1))
        order = [*work][number % len(work) :] + [*work][: number % len(work)]
        for name, (took,) in interleaved_seconds({name: work[name] for name in order}, rounds=1).items():
            seconds[name].append(took)
    return [Timing(seconds[str(i)], peak) for i, peak in enumerate(peaks)]


def time_shares(full: Contender, batch: int, settings: Settings, on_step: Tick | None = None) -> Shares:
    """Where the full model's time goes: of several drawings the one whose share of blocks is the median."""
    labels = torch.arange(batch) % full.model.num_classes
    draw = partial(full.draw, labels, settings, on_step=on_step)
    found = sorted((seconds_by_part(full.model, draw) for _ in range(SHARE_ROUNDS)), key=lambda shares: shares.blocks)
    return found[SHARE_ROUNDS // 2]


def machine_of(device: torch.device, precision: str) -> dict[str, Any]:
    """Device and its name, cores that this process may use, threads, the version of torch, and the precision."""
    return {
        "device": device.type,
        "name": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": precision,
    }


def _processor() -> str:
    """The processor's own name where Linux has it, else its kind."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


Progress = Callable[[int, int, str], None]  # (pieces of work that are done, all of them, what comes next)


class Ticker:
    """Called before every piece of work, never within one: nothing is written to disk while a clock runs."""

    def __init__(self, total: int, progress: Progress, should_stop: Callable[[], bool]) -> None:
        self._done, self._total = 0, total
        self._progress, self._should_stop = progress, should_stop

    def next(self, message: str, pieces: int = 1) -> None:
        """`pieces` of work are done now; `message` names what comes next."""
        self.on_step(0)
        self._done = min(self._done + pieces, self._total)
        self._progress(self._done, self._total, message)

    def on_step(self, _: int) -> None:
        """Stopped if somebody asked for it: called after every denoising step."""
        if self._should_stop():
            raise Stopped("stopped; resume it to measure from the start")
