"""Whether a search has decided, in words. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["GroupState", "Verdict", "judge"]

_SURE = 0.5  # a decision below this probability is called open
_STILL = 0.5  # logits that moved less than this, after scaling, have learned next to nothing
_UNSEEN = 0.5  # a larger share of options that were never drawn makes the decision a lottery


@dataclass(frozen=True)
class GroupState:
    """What a group has learned.

    Attributes:
        confidence: probability of the most probable option.
        entropy: as a share of the largest possible; 1 is undecided.
        moved: how far the logits went from where they began, after scaling: 1 makes an option e times likelier.
        unseen: share of the options that were never drawn; of a budget, of the blocks that were never once kept or
            never once left out.
        options: probability of every option, empty for a budget, which has too many.
    """

    confidence: float
    entropy: float
    moved: float
    unseen: float
    options: tuple[float, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    decided: every group has one option that is likelier than all others together.
    lines: what is wrong and how to go on, each a sentence; empty if nothing is.
    """

    decided: bool
    lines: tuple[str, ...]


def judge(states: Mapping[str, GroupState], steps: int) -> Verdict:
    """Judge what the groups have learned in `steps` steps; a group with a single option is decided from the start."""
    still = [name for name, state in states.items() if state.moved < _STILL and state.confidence < 1]
    open_ = [name for name, state in states.items() if state.confidence < _SURE and name not in still]
    unseen = [name for name, state in states.items() if state.unseen > _UNSEEN]
    lines = []
    if still:
        furthest = max(states[name].moved for name in still)
        lines.append(
            f"The logits of {_listed(still)} hardly moved ({furthest:.2f}; a move of 1 makes a choice 2.7 times "
            "likelier). Raise --lr-mask tenfold, or give more --steps."
        )
    if open_:
        best = min(states[name].confidence for name in open_)
        lines.append(
            f"{_listed(open_).capitalize()} has not decided: the likeliest choice has {best:.0%}. "
            f"Search with --steps {2 * steps}, or take this as a close call."
        )
    if unseen:
        share = max(states[name].unseen for name in unseen)
        lines.append(
            f"Of the choices of {_listed(unseen)}, {share:.0%} were never drawn. Lower --lr-mask or --scaling, raise "
            "--batch-size, or use smaller groups."
        )
    return Verdict(not still and not open_, tuple(lines))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return "the budget" if names == ["all"] else f"group {shown}" if len(names) == 1 else f"groups {shown}"
