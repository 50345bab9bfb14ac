"""Named choices. Entries point at code by dotted path, so listing the names imports nothing heavy."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tinylab.errors import BadRequest

__all__ = ["Entry", "Registry", "load"]

T = TypeVar("T")


def load(target: str) -> Any:
    """Import what a dotted path names: `package.module`, or `package.module:attribute`."""
    module, _, attribute = target.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


@dataclass(frozen=True)
class Entry:
    """One choice: where its code is (`package.module` or `package.module:attribute`), one line for helps, a label."""

    name: str
    target: str
    summary: str
    label: str


class Registry(Generic[T]):
    """A closed list of choices of one kind, each imported on first use."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(self, name: str, target: str, *, summary: str, label: str = "") -> None:
        """Add a choice; a name that is taken is a programming error."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = Entry(name, target, summary, label or name)

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._entries)

    def entry(self, name: str) -> Entry:
        """The entry called `name`; BadRequest with the valid names when there is none."""
        if name not in self._entries:
            raise BadRequest(f"unknown {self.kind} {name!r}; choose one of: {', '.join(self._entries)}")
        return self._entries[name]

    def get(self, name: str) -> T:
        """Import and return what `name` stands for."""
        return load(self.entry(name).target)
