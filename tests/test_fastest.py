"""Choosing the faster way, by a clock that the steps themselves turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

import pytest

from tinylab.metrics.cost import interleaved_seconds
from tinylab.training.fastest import fastest_way


class Clock:
    """Stands still unless a step turns it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.seconds

    def step(self, name: str, *durations: float) -> Callable[[], None]:
        """A step that takes these times, one after the other and from the first again."""
        times = cycle(durations)

        def step() -> None:
            self.calls.append(name)
            self.seconds += next(times)

        return step

    def steps(self, **durations: float | Sequence[float]) -> dict[str, Callable[[], None]]:
        return {
            name: self.step(name, *(times if isinstance(times, Sequence) else [times]))
            for name, times in durations.items()
        }


def test_the_fastest_is_named_with_the_median_of_all() -> None:
    clock = Clock()
    choice = fastest_way(clock.steps(dense=4.0, exact=2.0, sampled=3.0), rounds=1, clock=clock)
    assert choice.name == "exact"
    assert choice.seconds == {"dense": 4.0, "exact": 2.0, "sampled": 3.0}


@pytest.mark.parametrize(("second", "wanted"), [(0.98, "first"), (0.96, "second"), (1.0, "first"), (1.5, "first")])
def test_within_three_percent_the_first_wins(second: float, wanted: str) -> None:
    clock = Clock()
    assert fastest_way(clock.steps(first=1.0, second=second), clock=clock).name == wanted


def test_the_first_step_of_each_does_not_count() -> None:
    clock = Clock()
    choice = fastest_way(clock.steps(slow_start=[9.0, 1.0, 1.0], steady=2.0), rounds=2, clock=clock)
    assert choice.seconds == {"slow_start": 1.0, "steady": 2.0}
    assert choice.name == "slow_start"


def test_one_slow_step_does_not_decide() -> None:
    clock = Clock()
    choice = fastest_way(clock.steps(disturbed=[1.0, 1.0, 8.0, 1.0], steady=2.0), rounds=3, clock=clock)
    assert choice.name == "disturbed"
    assert choice.seconds["disturbed"] == 1.0


def test_ways_take_turns_and_each_begins_a_round() -> None:
    clock = Clock()
    fastest_way(clock.steps(a=1.0, b=1.0), rounds=3, clock=clock)
    assert "".join(clock.calls) == "ab" + "ab" + "ba" + "ab"


def test_slow_steps_get_fewer_rounds() -> None:
    clock = Clock()
    assert fastest_way(clock.steps(dense=15.0, exact=12.0), rounds=50, clock=clock).name == "exact"
    assert len(clock.calls) == 4


def test_no_way_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="no way to choose from"):
        fastest_way({})


def test_interleaved_seconds_measures_at_least_one_round() -> None:
    clock = Clock()
    assert interleaved_seconds(clock.steps(a=3.0), rounds=0, clock=clock) == {"a": [3.0]}
    assert interleaved_seconds({}, rounds=2, clock=clock) == {}


def test_the_real_clock_measures_every_step_of_every_way() -> None:
    counts = {"a": 0, "b": 0}

    def step(name: str) -> None:
        counts[name] += 1

    choice = fastest_way({name: lambda name=name: step(name) for name in counts}, rounds=4)  # type: ignore[misc]
    assert counts == {"a": 5, "b": 5}
    assert choice.name in counts
    assert all(seconds >= 0 for seconds in choice.seconds.values())
