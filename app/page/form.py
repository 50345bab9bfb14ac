"""What a form asks for: its values as a config, or one line that names a field as the person sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr

from app.access.allowed import check_allowed
from app.access.visitors import Visitor
from app.texts import english
from tinylab.config import JobConfig
from tinylab.errors import BadRequest

__all__ = ["named_as_in_form", "read_form"]


def read_form(
    make_config: Callable[..., JobConfig], fields: Mapping[str, Any], values: Sequence[Any], visitor: Visitor
) -> JobConfig:
    """What the form asks for, if the visitor may ask for it, whether there is room for it or not.

    Raises:
        BadRequest: names the field by its label, as the person sees it.
    """
    given = dict(zip(fields, values, strict=True))
    for name, field in fields.items():
        if isinstance(field, gr.Number) and given[name] is None:
            raise BadRequest(f"{_label(name, field)}: give a number")
    if "model" in given and not given["model"]:
        raise BadRequest("load a model first, in the Load tab")
    with named_as_in_form(fields):
        config = make_config(**given)
        check_allowed(config, visitor)
    return config


@contextmanager
def named_as_in_form(fields: Mapping[str, Any]) -> Iterator[None]:
    """Problems that name flags of the command line name the labels of their fields instead."""
    try:
        yield
    except BadRequest as error:
        labels = {name: _label(name, field) for name, field in fields.items()}
        raise BadRequest(_as_in_form(str(error), labels)) from None


def _label(name: str, field: Any) -> str:
    return english(getattr(field, "label", None) or name)


def _as_in_form(problem: str, labels: Mapping[str, str]) -> str:
    """A sentence that names flags of the command line, with the labels of their fields instead."""

    def label_of(flag: str) -> str | None:
        return labels.get(flag.removeprefix("--").replace("-", "_"))

    flag, colon, rest = problem.partition(": ")
    first = label_of(flag) if colon else None
    told = f"{first}: {rest}" if first else problem
    return re.sub(r"--[a-z][a-z-]*", lambda found: label_of(found[0]) or found[0], told)
