"""From a config back to the command that a person types for it. Free of torch."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from tinylab.config import JobConfig
from tinylab.presets import preset_config

__all__ = ["command_of", "own_choices"]


def own_choices(config: JobConfig) -> dict[str, Any]:
    """The values by name, in the order of the fields; `preset_config` of its class makes the same config of them."""
    values = {name: value for name, value in config if name != "kind"}
    named = {name: values[name] for name in ("preset", "recipe") if values.get(name) is not None}
    usual, plain = preset_config(type(config), named), type(config).create()
    return {name: value for name, value in values.items() if value != getattr(plain if name in named else usual, name)}


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
    values, chosen = dict(config), own_choices(config)
    words = ["tinylab", config.kind]
    if config.positional:
        words.append(str(values[config.positional]))
    first = [*always, *(name for name in ("preset", "recipe") if name in chosen)]
    for name in dict.fromkeys([*first, *chosen]):
        if name != config.positional and values[name] is not None:
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
