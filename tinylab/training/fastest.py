"""Which of several ways to take the same step is the fastest, here and now."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tinylab.metrics.cost import interleaved_seconds, synchronised_time

__all__ = ["Choice", "fastest_way"]

_TIE = 0.03  # a lead this small is as likely noise
_BUDGET = 20.0  # seconds after which no further round is begun


@dataclass(frozen=True)
class Choice:
    """The outcome.

    Attributes:
        name: the fastest way.
        seconds: median time of a step in every way.
    """

    name: str
    seconds: dict[str, float]


def fastest_way(
    steps: Mapping[str, Callable[[], object]], *, rounds: int = 3, clock: Callable[[], float] = synchronised_time
) -> Choice:
    """Measure all ways in turn, after one step of each that does not count; within 3% of the best the first one wins.

    Args:
        steps: one step in every way, by name; what they return is not used.
        rounds: how often each is measured; fewer if that takes longer than 20 seconds.
        clock: seconds, read before and after every step.

    Raises:
        ValueError: there is nothing to choose from.
    """
    if not steps:
        raise ValueError("there is no way to choose from")
    for step in steps.values():
        step()
    measured = interleaved_seconds(steps, rounds=rounds, budget=_BUDGET, clock=clock)
    medians = {name: statistics.median(values) for name, values in measured.items()}
    longest = (1 + _TIE) * min(medians.values())
    return Choice(next(name for name, seconds in medians.items() if seconds <= longest), medians)
