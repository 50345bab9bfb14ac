"""Rival ways to choose: one file each. A new one is a file here and a line below."""

from collections.abc import Callable

from tinylab.pruning.criteria.base import Choice, Request
from tinylab.registry import Registry

__all__ = ["CRITERIA", "LOOKS_AT_DATA", "Choice", "Request"]

CRITERIA: Registry[Callable[[Request], Choice]] = Registry("method")
LOOKS_AT_DATA: set[str] = set()  # methods that need noised samples; the others need none


def _add(name: str, target: str, label: str, rule: str, cost: str = "needs nothing") -> None:
    CRITERIA.register(name, f"{__name__}.{target}", label=label, summary=f"{rule}; {cost}")
    if cost != "needs nothing":
        LOOKS_AT_DATA.add(name)


_ONE, _EACH = "one forward over noised samples", "a forward for every block, and one"
_add("influence", "influence:choose", "Block influence (ShortGPT)", "keep what turns its input most, 1 - cosine", _ONE)
_add("oracle", "oracle:choose", "BK-SDM oracle", "first of each pair in the first half, last in the second; only half")
_add("random", "random:choose", "Random", "random blocks; --seed tells which")
_add("flux-lite", "flux_lite:choose", "Flux-Lite", "keep the largest mean squared change", _ONE)
_add("l2", "update_size:choose_l2", "L2 of the update", "keep the largest ‖f(x) - x‖", _ONE)
_add("relative-l2", "update_size:choose_relative_l2", "Normalised L2", "keep the largest ‖f(x) - x‖ / ‖x‖", _ONE)
_add("norm-ratio", "update_size:choose_norm_ratio", "Norm ratio", "keep the largest |ln ‖f(x)‖ / ‖x‖|", _ONE)
_add("sensitivity", "sensitivity:choose", "Sensitivity", "keep what the loss misses most", _EACH)
_add("laptop", "laptop:choose", "LAPTOP-Diff", "keep what moves the output most; no labels", _EACH)
_add("first", "placement:choose_first", "First blocks", "the first blocks of every stack")
_add("even", "placement:choose_even", "Evenly spaced", "evenly spaced blocks of every stack")
_add("contiguous", "placement:choose_contiguous", "Without the middle", "all but one span in the middle of every stack")
_add("greedy", "greedy:choose_greedy", "Greedy", "remove what the loss misses least, look again", "k n forwards")
_add("beam", "greedy:choose_beam", "Beam search", "greedy with four candidates side by side", "4 k n forwards")
_add("best-random", "of_random:choose_best", "Best of 32 random", "smallest loss of 32 random choices", "32 forwards")
_add("median-random", "of_random:choose_median", "Median of 32 random", "the one in the middle", "32 forwards")
_add("worst-random", "of_random:choose_worst", "Worst of 32 random", "largest loss of 32 random choices", "32 forwards")
_add("evolution", "evolution:choose", "Evolution (EvoPress)", "swaps, offspring, selection by loss", "104 forwards")
_add("indices", "indices:choose", "By hand", "the blocks given by --indices")
