"""Rival ways to choose: one file each. A new one is a file here and a line below."""

from collections.abc import Callable

from tinylab.pruning.criteria.base import Choice, Request
from tinylab.registry import Registry

__all__ = ["CRITERIA", "LOOKS_AT_DATA", "Choice", "Request"]

LOOKS_AT_DATA = frozenset({"influence"})  # methods that score with images; the others need none

CRITERIA: Registry[Callable[[Request], Choice]] = Registry("method")
_HERE = "tinylab.pruning.criteria"
CRITERIA.register(
    "influence",
    f"{_HERE}.influence:choose",
    label="Block influence (ShortGPT)",
    summary="keep the blocks that turn their input most: 1 - cosine(in, out); one forward over noised samples",
)
CRITERIA.register(
    "oracle",
    f"{_HERE}.oracle:choose",
    label="BK-SDM oracle",
    summary="keep the first of each pair in the first half, the last in the second; only half depth; needs nothing",
)
CRITERIA.register("random", f"{_HERE}.random:choose", label="Random", summary="keep random blocks; --seed tells which")
CRITERIA.register("indices", f"{_HERE}.indices:choose", label="By hand", summary="keep the blocks given by --indices")
