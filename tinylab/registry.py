"""Named choices. Entries point at code by dotted path, so listing the names imports nothing heavy."""

import importlib
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tinylab.errors import BadRequest

__all__ = ["Entry", "Registry", "Rows", "load"]

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One choice: where its code is (`package.module` or `package.module:attribute`), one line for helps, a label."""

    name: str
    target: str
    summary: str
    label: str

    @property
    def note(self) -> str:
        """What helps add to its name."""
        return self.summary


E = TypeVar("E", bound=Entry)


class Rows(Generic[T, E]):
    """The choices of one kind, each imported on first use.

    Args:
        row: the class of its entries.
    """

    def __init__(self, kind: str, row: type[E]) -> None:
        self.kind, self._row = kind, row
        self._entries: dict[str, E] = {}

    def register(self, name: str, target: str, *, summary: str, label: str = "", **facts: Any) -> None:
        """Add a choice, with the further `facts` of its row; a name that is taken is a programming error."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = self._row(name, target, summary, label or name, **facts)

    def names(self) -> tuple[str, ...]:
        """All names, in the order of registration."""
        return tuple(self._entries)

    def rows(self) -> tuple[E, ...]:
        """All entries, in the same order."""
        return tuple(self._entries.values())

    def entry(self, name: str) -> E:
        """The entry called `name`; BadRequest with the valid names when there is none."""
        if name not in self._entries:
            raise BadRequest(f"unknown {self.kind} {name!r}; choose one of: {', '.join(self._entries)}")
        return self._entries[name]

    def get(self, name: str) -> T:
        """Import and return what `name` stands for."""
        found: T = load(self.entry(name).target)
        return found


class Registry(Rows[T, Entry]):
    """Choices of which there is no more to know than what `Entry` holds."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind, Entry)


def load(target: str) -> Any:
    """Import what a dotted path points at."""
    module, _, attribute = target.partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found
