"""How this lab is run: at home or in public, with or without a login, and how much a visitor may ask for.

Everything comes from the environment, see docs/space.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache

from tinylab.errors import BadRequest

__all__ = ["LabSettings", "Limits", "lab_settings"]

_PREFIX = "TINYLAB_MAX_"
_OLD_QUEUE = "TINYLAB_MAX_LINE"  # what TINYLAB_MAX_QUEUE was called before
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Limits:
    """What one visitor of a public lab may ask for. Each is set by `TINYLAB_MAX_` and its name, as TINYLAB_MAX_STEPS.

    Attributes:
        steps: training steps of a job, over all its seeds and methods.
        batch: images of a training step, or drawn at once.
        images: pictures that a job draws of each model.
        sampling: denoising steps of a picture.
        weights: of a model that is worked on, in millions.
        minutes: that a job may compute before it is stopped.
        queue: jobs of one visitor that wait in the queue.
        runs: that one visitor keeps.
        megabytes: that the runs and uploads of one visitor take on disk.
        disk: megabytes that the runs of all take.
        upload: megabytes of an uploaded file.
    """

    steps: int = 6000
    batch: int = 256
    images: int = 1000
    sampling: int = 250
    weights: int = 100
    minutes: int = 20
    queue: int = 3
    runs: int = 40
    megabytes: int = 1000
    disk: int = 20_000
    upload: int = 1000

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Limits:
        """The limits that an environment sets; BadRequest names a variable that is no number."""
        names = {limit.name: _PREFIX + limit.name.upper() for limit in fields(cls)}
        if not environment.get(names["queue"]):
            names["queue"] = _OLD_QUEUE
        given = {name: (variable, environment.get(variable, "")) for name, variable in names.items()}
        return replace(cls(), **{name: _number(*each) for name, each in given.items() if each[1]})


@dataclass(frozen=True)
class LabSettings:
    """What goes for all visitors.

    Attributes:
        public: whether visitors are strangers to each other.
        limits: of each visitor of a public lab; at home there are none.
        login: (name, password) of everybody who may come in; empty: no login.
        hub: what may be loaded from the Hub in public, each `ORG/NAME` or `ORG/NAME@REVISION`.
    """

    public: bool = False
    limits: Limits = Limits()
    login: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    hub: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> LabSettings:
        """The settings that an environment describes; BadRequest names a variable that cannot be read."""
        public_text = environment.get("TINYLAB_PUBLIC", "").strip().lower()
        if public_text and public_text not in (*_YES, *_NO):
            raise BadRequest(f"TINYLAB_PUBLIC: set 1 or 0, not {public_text!r}")
        public = public_text in _YES if public_text else bool(environment.get("SPACE_ID"))
        hub = tuple(name.strip() for name in environment.get("TINYLAB_HUB", "").split(",") if name.strip())
        return cls(public, Limits.of(environment), _login(environment.get("TINYLAB_LOGIN", "")), hub)


@cache
def lab_settings() -> LabSettings:
    """The settings of this process."""
    return LabSettings.of(os.environ)


def _number(name: str, text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise BadRequest(f"{name}: give a whole number above 0, not {text!r}")
    return int(text)


def _login(text: str) -> tuple[tuple[str, str], ...]:
    """`name:password` of everybody, separated by spaces or commas."""
    found = []
    for entry in text.replace(",", " ").split():
        name, colon, password = entry.partition(":")
        if not (name and colon and password):
            raise BadRequest("TINYLAB_LOGIN: write name:password, several separated by commas")
        found.append((name, password))
    return tuple(found)
