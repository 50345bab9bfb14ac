"""The curves of a fine-tuning, alone or with those of another one in the same pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from app.views.names import recovery_label
from app.views.settings import loss_label
from tinylab.config import FinetuneConfig
from tinylab.figures import curves, curves_of_two
from tinylab.figures.training import Points
from tinylab.runs.run import Run

__all__ = ["Recovery", "draw_curves", "names_of_two"]

# The loss and its terms, by the names of their curves: what the legend calls them.
_TERMS = {"loss": "loss", "mse": "images", "vb": "variance", "kd": "teacher's output", "features": "hidden states"}
_MOST = 1000  # points of a curve; of more, evenly spaced ones


_Figure = dict[str, Any]


@dataclass(frozen=True)
class Recovery:
    """A run of fine-tuning and what it has measured so far."""

    run: Run

    @cached_property
    def config(self) -> FinetuneConfig:
        """What was asked."""
        return cast(FinetuneConfig, self.run.config())

    def points(self, name: str) -> list[tuple[int, float]]:
        """One curve, thinned to what a picture can show."""
        found = self.run.metrics().scalars(name)
        step = max(1, -(-len(found) // _MOST))
        return [*found[:-1:step], *found[-1:]]

    def last(self, name: str) -> float | None:
        """The newest value of a curve."""
        found = self.points(name)
        return found[-1][1] if found else None

    def terms(self) -> dict[str, Points]:
        """The loss and its terms, by what the legend calls them.

        A term that is zero throughout is none, and a single term is the loss itself.
        """
        found = {words: self.points(name) for name, words in _TERMS.items()}
        terms: dict[str, Points] = {
            words: points for words, points in found.items() if any(value for _, value in points)
        }
        return terms if len(terms) > 2 else {"loss": found["loss"]}


_Draw = Callable[[Recovery, Recovery | None], _Figure | None]


def draw_curves(shown: Recovery, other: Recovery | None = None) -> dict[str, _Figure]:
    """All pictures that there is something of `shown` for, by slot."""
    return {slot: figure for slot, draw in _DRAW.items() if (figure := draw(shown, other)) is not None}


def _draw(
    shown: Recovery,
    other: Recovery | None,
    lines: Mapping[str, Points],
    beside: Mapping[str, Points],
    *,
    steps: str = "steps",
    levels: Mapping[str, float] | None = None,
    legend: bool = True,
    **look: Any,
) -> _Figure | None:
    """The lines of one run, or of both if the other one has any; None if there are none.

    Args:
        steps: the setting that says where the x axis ends.
        levels, legend: of the lines of one run.
    """
    if not any(lines.values()):
        return None
    end = getattr(shown.config, steps)
    if other is None or not any(beside.values()):
        return curves(lines, key=shown.run.id, total_steps=end, levels=levels, legend=legend, **look)
    end = max(end, getattr(other.config, steps))
    key, (one, two) = f"{shown.run.id}+{other.run.id}", names_of_two(shown, other)
    return curves_of_two({one: lines, two: beside}, key=key, total_steps=end, **look)


def names_of_two(shown: Recovery, other: Recovery) -> tuple[str, str]:
    """What tells two runs from each other: their losses if those differ, else also when they were made."""
    both = (shown, other)
    for names in (
        [loss_label(recovery.config.loss) for recovery in both],
        [recovery_label(recovery.run) for recovery in both],
    ):
        if names[0] != names[1]:
            return names[0], names[1]
    return shown.run.id, other.run.id


def _losses(shown: Recovery, other: Recovery | None) -> _Figure | None:
    lines, beside = shown.terms(), other.terms() if other else {}
    several = len({*lines, *beside}) > 1
    heading = "Loss and its unweighted terms" if several else "Training loss"
    result = shown.run.result()
    plain = shown.config.loss == "diffusion"  # no other loss can be compared with the full model's
    levels = {"full model, held out": result["loss_full"]} if result and plain else {}
    return _draw(
        shown,
        other,
        lines,
        beside,
        levels=levels,
        heading=heading,
        unit="loss",
        log=several,
        height=340 if several else 300,
    )


def _single(name: str, unit: str, heading: str, *, log: bool = False, **more: Any) -> _Draw:
    """Draws one small picture of one curve; on a log scale if wished for and possible."""

    def draw(shown: Recovery, other: Recovery | None) -> _Figure | None:
        lines, beside = {unit: shown.points(name)}, {unit: other.points(name)} if other else {}
        positive = all(value > 0 for points in (*lines.values(), *beside.values()) for _, value in points)
        look = {"heading": heading, "unit": unit, "log": log and positive, "height": 250, **more}
        return _draw(shown, other, lines, beside, legend=False, **look)

    return draw


_DRAW: dict[str, _Draw] = {
    "loss": _losses,
    # Kernel distances fall by orders of magnitude, and near the end single ones can be below zero.
    "distance": _single("kernel_distance", "distance", "Distance from real digits", log=True, smoothed=False),
    "read": _single(
        "read_correctly", "share", "Samples read correctly", smoothed=False, range=[0, 1.04], tickformat=".0%"
    ),
    "rate": _single("lr", "learning rate", "Learning rate", smoothed=False, rangemode="tozero", exponentformat="power"),
    "norm": _single("grad_norm", "norm", "Gradient norm before clipping", log=True),
    "warm": _single("warm-start/loss", "loss", "Warm start: each block by itself", log=True, steps="warm_steps"),
}
