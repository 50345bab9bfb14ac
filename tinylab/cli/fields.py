"""Between the fields of a job config and the flags of its command."""

import argparse
import types
from typing import Any, Union, get_args, get_origin

from tinylab.config import JobConfig
from tinylab.config.choices import OneOf
from tinylab.presets import preset_config

__all__ = ["add_fields", "config_of"]


def add_fields(command: argparse.ArgumentParser, config: type[JobConfig]) -> None:
    """One flag a field, with its description, its choices and its default as help."""
    for name, field in config.model_fields.items():
        if name == "kind":
            continue
        if name == config.positional:
            command.add_argument(f"field_{name}", metavar=name.upper(), choices=_choices(field.annotation))
            continue
        default = "" if field.default in (None, (), "") else f" (default: {_shown(field.default)})"
        metavar = "A,B,…" if _is_list(field.annotation) else name.split("_")[-1].upper()
        rows = [mark.help() for mark in field.metadata if isinstance(mark, OneOf)]
        choices = rows or _choices(field.annotation)
        text = (field.description or "").replace("%", "%%") + (f": {', '.join(choices)}" if choices else "") + default
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if field.annotation is bool else {}
        command.add_argument(f"--{name.replace('_', '-')}", dest=f"field_{name}", metavar=metavar, help=text, **bare)


def config_of(options: argparse.Namespace) -> JobConfig:
    """The config of a job command; values not given keep their defaults, or those of the preset."""
    values: dict[str, Any] = {}
    for name, field in options.config.model_fields.items():
        text = getattr(options, f"field_{name}", None)
        if text is not None:
            values[name] = (
                tuple(p.strip() for p in text.split(",") if p.strip()) if _is_list(field.annotation) else text
            )
    return preset_config(options.config, values)


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_list(part) for part in get_args(annotation))
    return get_origin(annotation) is tuple


def _choices(annotation: Any) -> tuple[str, ...]:
    return get_args(annotation) if str(get_origin(annotation)) == "typing.Literal" else ()
