"""How long a job will take, from finished ones of the same kind and model."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable

from tinylab.config import JobConfig, LoopConfig
from tinylab.runs.status import Status

__all__ = ["Paces", "work_of"]

_NEWEST = 5  # finished runs that are asked
_MODELS = ("against", "caches", "methods", "plans", "recipes")  # fields that list one model each


class Paces:
    """Seconds a step, by kind and model.

    Args:
        runs: what was asked and how it stands, newest first; only what is finished counts.
    """

    def __init__(self, runs: Iterable[tuple[JobConfig, Status]]) -> None:
        self._found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for config, status in runs:
            paces = self._found[_sort_of(config)]
            if status.state == "finished" and status.seconds > 0 and len(paces) < _NEWEST:
                paces.append(status.seconds / work_of(config))

    def left(self, config: JobConfig, status: Status) -> float | None:
        """Seconds of computing that a run still needs; None where no such run is finished."""
        paces = self._found.get(_sort_of(config))
        if not paces:
            return None
        done = min(1.0, status.step / status.steps) if status.steps > 0 else 0.0
        return statistics.median(paces) * work_of(config) * (1 - done)


def work_of(config: JobConfig) -> float:
    """What the time of a job grows with: of training the images seen, else steps times what is done at each."""
    steps = max(1, getattr(config, "steps", 1)) * max(1, sum(getattr(config, "step_counts", ())))
    images = config.batch_size if isinstance(config, LoopConfig) else getattr(config, "n", 1)
    seeds = max(1, len(getattr(config, "seeds", ())))
    models = 1 + sum(len(getattr(config, name, ())) for name in _MODELS)
    return float(steps * images * seeds * models)


def _sort_of(config: JobConfig) -> tuple[str, str]:
    """Runs that agree in this take about as long a step."""
    return config.kind, getattr(config, "model", None) or getattr(config, "preset", None) or ""
