"""Warm starts: what is done to the weights of a cut model before it is trained on. One file each."""

from tinylab.registry import Registry
from tinylab.training.warm_starts.base import WarmStartRule, WarmUp

__all__ = ["WARM_STARTS", "WarmStartRule", "WarmUp"]

WARM_STARTS: Registry[WarmStartRule] = Registry("warm start")
_HERE = "tinylab.training.warm_starts"
WARM_STARTS.register("none", f"{_HERE}.base:keep_weights", summary="the kept weights as they are", label="None")
WARM_STARTS.register("mean", f"{_HERE}.mean:start", summary="the mean of the merged span", label="Mean of the span")
WARM_STARTS.register(
    "linear", f"{_HERE}.linear:start", summary="a least-squares map that stands for the removed", label="Linear map"
)
WARM_STARTS.register(
    "align", f"{_HERE}.align:start", summary="each block learns its span by itself", label="Span by span"
)
