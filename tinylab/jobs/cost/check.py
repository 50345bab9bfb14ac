"""What a measurement of costs must be asked for. Free of torch, so that the app stays light."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinylab.config import CostConfig
from tinylab.data.classes import DIGIT_NAMES
from tinylab.errors import BadRequest
from tinylab.jobs.facts import Facts
from tinylab.models.families import FAMILIES, Family
from tinylab.models.sizes import SIZES
from tinylab.sampling import sampler_for
from tinylab.sampling.caches import check_cache, parse_cache

__all__ = ["Subject", "check_costs", "describe_subject"]

_MOST_IMAGES, _MOST_STEPS = 65536, 1000
_LEAST_SCORED = 20  # two of each digit


@dataclass(frozen=True)
class Subject:
    """A model to measure: one that can be loaded, or a published size to be filled with random weights."""

    family: Family
    config: Mapping[str, Any]
    is_size: bool

    @property
    def depth(self) -> dict[str, int]:
        """Number of blocks in every stack."""
        return self.family.depth(self.config)

    @property
    def draws_digits(self) -> bool:
        """True for a trained model of the built-in 8x8 digits."""
        shape, classes = self.family.sample_shape(self.config), self.family.num_classes(self.config)
        return not self.is_size and shape == (1, 8, 8) and classes == len(DIGIT_NAMES)


def describe_subject(reference: str, facts: Facts) -> Subject:
    """What a name in a `CostConfig` stands for; BadRequest if nothing."""
    if reference in SIZES:
        return Subject(FAMILIES[SIZES[reference].family], SIZES[reference].config, is_size=True)
    info = facts.model(reference)
    return Subject(info.family, info.config, is_size=False)


def check_costs(config: CostConfig, facts: Facts) -> None:
    """BadRequest for what cannot be measured."""
    _check_numbers("batch-sizes", config.batch_sizes, _MOST_IMAGES)
    _check_numbers("step-counts", config.step_counts, _MOST_STEPS)
    subject = describe_subject(config.model, facts)
    sampler_for(subject.family.name, config.sampler)
    for name in config.against:
        _check_alike(name, subject, config.model, facts)
    if not config.against and max(subject.depth.values()) == 1:
        raise BadRequest(f"{config.model} has no second block to cut; name a shallow model with --against")
    for text in config.caches:
        spec = parse_cache(text)
        if spec is None:
            raise BadRequest("caches: none is what the model is measured as anyway; leave it out")
        check_cache(spec, subject.family.name, subject.depth)
    if config.equal_seconds:
        _check_scored(config, facts)


def _check_numbers(name: str, values: tuple[int, ...], most: int) -> None:
    if not values or not all(1 <= value <= most for value in values):
        raise BadRequest(f"{name}: name one or more numbers from 1 to {most} (got {','.join(map(str, values))!r})")


def _check_alike(name: str, subject: Subject, model: str, facts: Facts) -> None:
    """BadRequest for a rival that draws other images, or in another way."""
    other = describe_subject(name, facts)
    if other.family != subject.family:
        raise BadRequest(
            f"{name} is a {other.family.class_name}, {model} a {subject.family.class_name}; compare equals"
        )
    for what in ("sample_shape", "num_classes"):
        ours, theirs = (getattr(s.family, what)(s.config) for s in (subject, other))
        if ours != theirs:
            raise BadRequest(
                f"{name} draws other images than {model}: {what.replace('_', ' ')} {theirs}, not {ours}; compare equals"
            )


def _check_scored(config: CostConfig, facts: Facts) -> None:
    if not all(describe_subject(name, facts).draws_digits for name in (config.model, *config.against)):
        raise BadRequest("equal-seconds scores samples of digits; name trained models of them, or leave it out")
    if config.equal_seconds < _LEAST_SCORED:
        raise BadRequest(f"equal-seconds: score {_LEAST_SCORED} samples or more (got {config.equal_seconds})")
