"""Feature caches over denoising steps, rivals of cutting that need no training. Free of torch until one is used."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinylab.errors import BadRequest
from tinylab.registry import Registry

if TYPE_CHECKING:
    from tinylab.models.base import Denoiser

__all__ = ["CACHES", "CacheSpec", "cached", "check_cache", "parse_cache"]

_HERE = "tinylab.sampling.caches"
CACHES: Registry[Callable[[Any, float], AbstractContextManager[None]]] = Registry("cache")
CACHES.register(
    "interval",
    f"{_HERE}.interval:interval",
    summary="all blocks in every K-th forward pass, between them the first and the last alone",
    label="Interval",
)
CACHES.register(
    "first-block",
    f"{_HERE}.first_block:first_block",
    summary="diffusers' first-block cache: the first block alone while what it adds has changed little",
    label="First block",
)

_FAMILIES = ("dit", "sit")
_LEAST_BLOCKS = 3  # the first, the last, and something between them to leave out
_FORMS = "interval:K with K from 1, first-block:THRESHOLD with a threshold from 0, or none"


@dataclass(frozen=True)
class CacheSpec:
    """One cache and its number: forward passes between two whole ones (interval), or a threshold (first-block)."""

    name: str
    value: float

    def __str__(self) -> str:
        return f"{self.name}:{self.value:g}"


def parse_cache(text: str) -> CacheSpec | None:
    """What `interval:2`, `first-block:0.1` or `none` stands for; BadRequest names the forms for anything else."""
    if text == "none":
        return None
    name, _, number = text.partition(":")
    if name not in CACHES.names():
        raise BadRequest(f"unknown cache {text!r}; use {_FORMS}")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    whole = name != "interval" or value >= 1 and value == int(value)
    if not math.isfinite(value) or value < 0 or not whole:
        raise BadRequest(f"cache {text!r}: use {_FORMS}")
    return CacheSpec(name, value)


def check_cache(spec: CacheSpec, family: str, depth: Mapping[str, int]) -> None:
    """BadRequest for a model whose hidden states cannot be kept from one step to the next."""
    if family not in _FAMILIES:
        raise BadRequest(
            f"cache {spec}: a model of family {family!r} has another number of tokens in every round, so nothing "
            "can be kept; leave out the cache"
        )
    if sum(depth.values()) < _LEAST_BLOCKS:
        raise BadRequest(f"cache {spec}: it leaves out blocks between the first and the last; use a deeper model")


@contextlib.contextmanager
def cached(model: Denoiser, spec: CacheSpec | None) -> Iterator[None]:
    """Within the context the model's blocks run through the cache; None changes nothing.

    A context is for sampling one batch: what is kept belongs to its images. Afterwards the model computes as
    before, bit for bit.

    Raises:
        BadRequest: the cache does not fit the model.
    """
    if spec is None:
        yield
        return
    check_cache(spec, model.family, model.stack_depths())
    with CACHES.get(spec.name)(model, spec.value):
        yield
