"""Sampling images from a model. The rows of all samplers are in `tinylab.config.choices`."""

from tinylab.config.choices import SAMPLERS
from tinylab.errors import BadRequest

__all__ = ["SAMPLERS", "sampler_for", "samplers_of"]


def samplers_of(family: str) -> tuple[str, ...]:
    """The samplers for models of a family, its default first."""
    return tuple(row.name for row in SAMPLERS.rows() if family in row.families)


def sampler_for(family: str, wanted: str = "auto") -> str:
    """The sampler to use for a model of this family; BadRequest if the one that is `wanted` does not fit."""
    fitting = samplers_of(family)
    if not fitting:
        raise BadRequest(f"models of family {family!r} cannot be sampled from yet")
    if wanted == "auto":
        return fitting[0]
    if SAMPLERS.entry(wanted).name not in fitting:
        raise BadRequest(f"sampler {wanted!r} does not fit a model of family {family!r}; use {' or '.join(fitting)}")
    return wanted
