"""Rival ways to choose: one file each. A new one is a file here and a line below."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tinylab.pruning.criteria.base import Choice, Request
from tinylab.pruning.criteria.budget import asked_layout, respects
from tinylab.registry import Entry, Rows

__all__ = ["CRITERIA", "DEFAULT", "Choice", "Method", "Request", "asked_layout", "respects"]

DEFAULT = "influence"


@dataclass(frozen=True)
class Method(Entry):
    """What there is to know of a method before it runs.

    Attributes:
        rule: what it keeps or removes.
        needs: what it uses beside the model's depth.
        forwards: passes over all samples; of n blocks k stay, and R random choices are drawn.
    """

    rule: str
    needs: Literal["nothing", "indices", "clean samples", "noised samples"]
    forwards: str

    @property
    def uses_data(self) -> bool:
        """True if it cannot choose without data."""
        return self.needs.endswith("samples")

    @property
    def cost(self) -> str:
        """The passes in words; empty where nothing is computed."""
        return {"0": "", "1": "1 forward"}.get(self.forwards, f"{self.forwards} forwards")


CRITERIA: Rows[Callable[[Request], Choice], Method] = Rows("method", Method)


def _add(name: str, target: str, label: str, rule: str, forwards: str = "0", needs: str = "") -> None:
    """A method that computes anything uses noised samples, unless `needs` names something else."""
    facts: dict[str, Any] = {"rule": rule, "forwards": forwards}
    facts["needs"] = needs or ("nothing" if forwards == "0" else "noised samples")
    shown = Method(name, "", "", "", **facts)
    summary = f"{rule}; " + (f"{shown.cost} over {shown.needs}" if shown.uses_data else f"needs {shown.needs}")
    CRITERIA.register(name, f"{__name__}.{target}", label=label, summary=summary, **facts)


_REMOVALS = "(n - k)(n + k + 1)"  # twice the passes through a model with one block less, until k of n are left
_add(
    "influence",
    "block_changes:choose_influence",
    "Block influence (ShortGPT)",
    "keep what turns its input most, 1 - cosine",
    "1",
)
_add(
    "oracle",
    "placement:choose_oracle",
    "BK-SDM oracle",
    "first of each pair in the first half, last in the second; only half",
)
_add("random", "of_random:choose_random", "Random", "random blocks; --seed decides which")
_add("flux-lite", "block_changes:choose_flux_lite", "Flux-Lite", "keep the largest mean squared change", "1")
_add("l2", "block_changes:choose_l2", "L2 of the update", "keep the largest ‖f(x) - x‖", "1")
_add("relative-l2", "block_changes:choose_relative_l2", "Normalised L2", "keep the largest ‖f(x) - x‖ / ‖x‖", "1")
_add("norm-ratio", "block_changes:choose_norm_ratio", "Norm ratio", "keep the largest |ln ‖f(x)‖ / ‖x‖|", "1")
_CLEAN = "as influence, on clean latents and raw respaced times"
_add(
    "influence-clean",
    "block_changes:choose_influence_clean",
    "Influence as published",
    _CLEAN,
    "1",
    needs="clean samples",
)
_add("sensitivity", "sensitivity:choose_sensitivity", "Sensitivity", "keep what the loss misses most", "n + 1")
_add("laptop", "sensitivity:choose_laptop", "LAPTOP-Diff", "keep what moves the output most; no labels", "n + 1")
_add("first", "placement:choose_first", "First blocks", "the first blocks of every stack")
_add("even", "placement:choose_even", "Evenly spaced", "evenly spaced blocks of every stack")
_add("contiguous", "placement:choose_contiguous", "Without the middle", "all but one span in the middle of every stack")
_add(
    "greedy",
    "greedy:choose_greedy",
    "Greedy",
    "remove what the loss misses least, measure again",
    f"up to {_REMOVALS} / 2",
)
_add("beam", "greedy:choose_beam", "Beam search", "greedy with four candidates side by side", f"up to 2{_REMOVALS}")
_add("best-random", "of_random:choose_best", "Best of random", "smallest loss of R random choices", "R")
_add("median-random", "of_random:choose_median", "Median of random", "median loss of R random choices", "R")
_add("worst-random", "of_random:choose_worst", "Worst of random", "largest loss of R random choices", "R")
_add(
    "evolution",
    "evolution:choose_evolution",
    "Evolution (EvoPress)",
    "swaps, offspring, selection by loss",
    "up to 104",
)
_add("indices", "placement:choose_indices", "By hand", "the blocks given by --indices", needs="indices")
