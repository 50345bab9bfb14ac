"""What somebody has chosen of a config: every value that is neither the default nor the preset's own. Free of torch."""

from __future__ import annotations

from typing import Any

from tinylab.config import JobConfig
from tinylab.presets import preset_config

__all__ = ["own_choices"]


def own_choices(config: JobConfig) -> dict[str, Any]:
    """The values by name, in the order of the fields; `preset_config` of its class makes the same config of them."""
    values = {name: value for name, value in config if name != "kind"}
    named = {name: values[name] for name in ("preset", "recipe") if values.get(name) is not None}
    usual, plain = preset_config(type(config), named), type(config).create()
    return {name: value for name, value in values.items() if value != getattr(plain if name in named else usual, name)}
