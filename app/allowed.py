"""What a visitor of a public lab may ask a job to do. At home everybody asks what they like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.house import Limits, house
from app.references import check_reference, uploads_folder
from app.visitors import Visitor
from tinylab.config import EvaluateConfig, JobConfig
from tinylab.errors import BadRequest
from tinylab.models.catalog import describe_model
from tinylab.paths import runs_folder
from tinylab.runs.disk import folder_bytes
from tinylab.runs.store import find_plan

__all__ = ["check_allowed", "check_room"]

_RUNS = ("model", "against", "plan", "plans", "run", "study")  # fields that name models and runs
_PLANS = ("plan", "plans", "run")  # those of them whose plan names a model
_FILES = ("images", "reference", "vae", "data")  # fields that could lead to files of the server
_AT_HAND = ("auto", "digits", "none")
# The most of what costs little, and of what lists are long; the rest is a matter of the lab's limits.
_CAPS = {"accumulation": 16, "workers": 8, "threads": 16, "rounds": 15, "resamples": 200, "copies": 16}
_COUNTS = {"seeds": 5, "methods": 12, "plans": 6, "against": 4, "step_counts": 4, "batch_sizes": 4, "caches": 4}
_SIDE = ("samples", "scored_samples", "warm_steps")  # what people seldom set: as usual is always allowed
_MEGABYTE = 2**20


def check_allowed(config: JobConfig, visitor: Visitor) -> None:
    """BadRequest, with what would be allowed, unless the visitor may have this job done."""
    if not visitor.stranger:
        return
    check_room(visitor)
    for name in _RUNS:
        for reference in _each(getattr(config, name, None)):
            check_reference(reference, visitor)
    for name in _PLANS:
        for reference in _each(getattr(config, name, None)):
            check_reference(find_plan(reference).model or "", visitor)  # which the job would load
    files = (*_FILES, "weights") if isinstance(config, EvaluateConfig) else _FILES
    for name in files:
        if any(value not in _AT_HAND for value in _each(getattr(config, name, None))):
            raise BadRequest(f"--{name}: a public lab reads no files of its server; leave it as it is")
    limits = house().limits
    for name, value, most in _sizes(config, limits):
        if value > most:
            raise BadRequest(f"--{name.replace('_', '-')}: at most {most:,} in a public lab, not {value:,}")
    _check_weights(config, limits)


def _sizes(config: JobConfig, limits: Limits) -> Iterator[tuple[str, float, float]]:
    """Name, value and largest value of everything about a job that makes it long."""
    values = dict(config)
    draws = config.kind in ("sample", "evaluate", "cost")
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


def _check_weights(config: JobConfig, limits: Limits) -> None:
    for name in ("model", "against"):
        for reference in _each(getattr(config, name, None)):
            millions = describe_model(reference).parameters / 1e6
            if millions > limits.weights:
                raise BadRequest(
                    f"{name}: models of at most {limits.weights} million weights in a public lab, not {millions:,.0f}; "
                    "a copy of the lab on hardware of your own takes any"
                )


def check_room(visitor: Visitor) -> None:
    """BadRequest, with what to delete, unless there is room for one more run of the visitor."""
    if not visitor.known:
        raise BadRequest("this browser keeps no cookie for the lab, so it could not find its runs again; allow it one")
    if not visitor.stranger:
        return
    limits = house().limits
    own = visitor.own_runs()
    if len(own) >= limits.runs:
        raise BadRequest(f"you keep {len(own)} runs, the most in a public lab; delete some in the Runs tab")
    taken = sum(folder_bytes(run.path) for run in own) + folder_bytes(uploads_folder(visitor))
    if taken > limits.megabytes * _MEGABYTE:
        raise BadRequest(
            f"your runs take {taken // _MEGABYTE:,} MB, more than the {limits.megabytes:,} of a public lab; "
            "delete or thin some in the Runs tab"
        )
    if folder_bytes(runs_folder()) > limits.disk * _MEGABYTE:
        raise BadRequest("the disk of this public lab is full; come back later, or run the lab at home")


def _each(value: Any) -> tuple[Any, ...]:
    """The values of a field that holds none, one or several."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, tuple | list) else (value,)
