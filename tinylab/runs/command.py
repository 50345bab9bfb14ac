"""From a config back to the command that a person types for it. Free of torch."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from tinylab.config import JobConfig
from tinylab.presets import preset_config

__all__ = ["command_of"]


def command_of(
    config: JobConfig,
    *,
    always: Sequence[str] = (),
    out: str | None = None,
    called: Callable[[str], str] = str,
) -> str:
    """The command that asks for exactly this job: every value that is not the default, or not the preset's own.

    Args:
        always: fields that are shown whatever they hold, and first.
        out: the run folder to make.
        called: what a text value, such as the name of a run, is called instead.
    """
    values = {name: value for name, value in config if name not in ("kind", config.positional) and value is not None}
    chosen: dict[str, Any] = {name: values[name] for name in ("preset", "recipe") if name in values}
    usual, plain = preset_config(type(config), chosen), type(config).create()
    words = ["tinylab", config.kind]
    if config.positional:
        words.append(str(getattr(config, config.positional)))
    for name in dict.fromkeys([*always, *chosen, *values]):
        default = getattr(plain if name in chosen else usual, name)
        if name in always or values[name] != default:
            words += _flag(name, _text(values[name], called))
    if out is not None:
        words += _flag("out", out)
    return shlex.join(words)


def _flag(name: str, text: str) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    return [f"{flag}={text}"] if text.startswith("-") else [flag, text]  # or it would be read as a flag itself


def _text(value: Any, called: Callable[[str], str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(called(str(one)) for one in value)
    return called(value) if isinstance(value, str) else str(value)
