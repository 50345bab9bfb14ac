"""What a visitor of a public lab may ask a job to do. At home everybody asks what they like.

A job may be asked for by a form, by a raw request, or by an archive that somebody has made up and wants to go on.
"""

from collections.abc import Iterator
from typing import Any

from app.access.quota import check_space
from app.access.references import check_reference
from app.access.settings import Limits, lab_settings
from app.access.visitors import Visitor
from tinylab.config import KINDS, CompareConfig, JobConfig, LoopConfig, kind_of
from tinylab.errors import BadRequest
from tinylab.models.catalog import describe_model
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.run import Run
from tinylab.runs.store import find_plan, find_run

__all__ = ["PARTS_BY_KIND", "TABS_BY_KIND", "check_allowed", "check_may_go_on"]

TABS_BY_KIND = {name: kind.tab for name, kind in KINDS.items() if kind.tab}
PARTS_BY_KIND = {name: kind.part for name, kind in KINDS.items() if kind.part}  # of the tab that has two

_RUNS = ("model", "against", "plan", "plans", "run", "study")  # fields that name models and runs
_PLANS = ("plan", "plans", "run")  # those of them whose plan names a model
_OFF = {"tracker": "none", "compile": False}  # what would send numbers elsewhere, or run a compiler
_AT_HAND = ("auto", "digits", "none")
# The most of what costs little, and of what lists are long; the rest is a matter of the lab's limits.
_CAPS = {"accumulation": 16, "workers": 8, "threads": 16, "rounds": 15, "resamples": 200, "copies": 16}
_COUNTS = {"seeds": 5, "methods": 12, "plans": 6, "against": 4, "step_counts": 4, "batch_sizes": 4, "caches": 4}
_SIDE = ("samples", "scored_samples", "warm_steps")  # what people seldom set: as usual is always allowed


def check_allowed(config: JobConfig, visitor: Visitor) -> None:
    """BadRequest, with what would be allowed, unless the visitor may have this job done where there is room for it."""
    if not visitor.stranger:
        return
    if not kind_of(config).tab:
        raise BadRequest(f"a public lab does not do {config.kind!r} jobs; a lab of your own does")
    for name in _RUNS:
        for reference in _each(getattr(config, name, None)):
            check_reference(reference, visitor)
    named = _named_models(config)
    for reference in named:
        check_reference(reference, visitor)
    for name, value in _OFF.items():
        if getattr(config, name, value) != value:
            raise BadRequest(f"--{name}: a public lab leaves it at {value}")
    for name in ("data", *kind_of(config).files):
        if any(value not in _AT_HAND for value in _each(getattr(config, name, None))):
            raise BadRequest(f"--{name}: a public lab reads no files of its server; leave it as it is")
    limits = lab_settings().limits
    for name, value, most in _sizes(config, limits):
        if value > most:
            raise BadRequest(f"--{name.replace('_', '-')}: at most {most:,} in a public lab, not {value:,}")
    for reference in named:
        _check_weights(reference, limits)


def check_may_go_on(run: Run, visitor: Visitor) -> None:
    """The same for a run that is to go on: what it has in its folder counts more than what was asked."""
    if not visitor.stranger:
        return
    check_space(visitor)
    check_allowed(run.config(), visitor)
    if run.plan_path.is_file():
        model = DepthPlan.load(run.plan_path).model
        check_reference(model, visitor)
        _check_weights(model, lab_settings().limits)


def _named_models(config: JobConfig) -> list[str]:
    """The models that a job would load or ask about: those it names, and those that its plans and its study name."""
    found = [reference for name in ("model", "against") for reference in _each(getattr(config, name, None))]
    found += [find_plan(plan).model for name in _PLANS for plan in _each(getattr(config, name, None))]
    if isinstance(config, CompareConfig) and config.study:
        found.append(getattr(find_run(config.study).config(), "model", None) or "")
    return [reference for reference in found if reference]


def _sizes(config: JobConfig, limits: Limits) -> Iterator[tuple[str, float, float]]:
    """Name, value and largest value of everything about a job that makes it long."""
    values = dict(config)
    draws = not isinstance(config, LoopConfig)  # its steps are those of sampling
    most = {name: limits.images for name in ("n", "equal_seconds", "scored_samples", "samples")}
    most |= {name: limits.steps for name in ("warm_steps", "search_steps")}
    most |= {"batch_size": limits.batch if not draws else max(limits.batch, 250)} | _CAPS
    for name, largest in most.items():
        if name in values:
            usual = type(config).model_fields[name].default if name in _SIDE else 0
            yield name, values[name], max(largest, usual)
    for name, longest in _COUNTS.items():
        if name in values:
            yield name, len(values[name]), longest
    yield from (("batch_sizes", size, limits.batch) for size in values.get("batch_sizes", ()))
    yield from (("step_counts", steps, limits.sampling) for steps in values.get("step_counts", ()))
    if "steps" in values:
        yield "steps", values["steps"] * (1 if draws else _times(config)), limits.sampling if draws else limits.steps


def _times(config: JobConfig) -> int:
    """How often a job trains for its number of steps."""
    methods = len(getattr(config, "methods", ())) + len(getattr(config, "plans", ()))
    return max(1, methods) * max(1, len(getattr(config, "seeds", ())))


def _check_weights(model: str, limits: Limits) -> None:
    millions = describe_model(model).parameters / 1e6 if model else 0.0
    if millions > limits.weights:
        raise BadRequest(
            f"model: at most {limits.weights} million weights in a public lab, not {millions:,.0f}; "
            "a copy of the lab on hardware of your own takes any"
        )


def _each(value: Any) -> tuple[Any, ...]:
    """The values of a field that holds none, one or several."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, tuple | list) else (value,)
