"""Whose a run is, and who else may look at it: `owner.json` in the run folder.

{"owner": NAME, "readers": [NAME, ...]}. Names are opaque; a run without the file, or with a damaged one, is nobody's.
"""

import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.file_cache import FileCache
from tinylab.files.json_file import read_object

__all__ = ["FILE", "LONGEST", "MOST_READERS", "add_reader", "owner_of", "readers_of", "write_owner"]

FILE = "owner.json"
LONGEST = 200  # characters of a name
MOST_READERS = 500
_LARGEST = 2**20  # bytes of a file that is still read


class _Folder(Protocol):
    """A run, as far as its owner is concerned."""

    @property
    def path(self) -> Path: ...


@dataclass(frozen=True)
class _People:
    owner: str = ""
    readers: tuple[str, ...] = ()


_NOBODY = _People()
_kept: FileCache[_People] = FileCache()
_turn = threading.Lock()  # two readers that are added at once are both kept


def owner_of(run: _Folder) -> str:
    """The name of the owner, "" for a run that is nobody's."""
    return _people(run.path).owner


def readers_of(run: _Folder) -> tuple[str, ...]:
    """Those besides the owner to whom the run was shown, oldest first."""
    return _people(run.path).readers


def add_reader(run: _Folder, reader: str) -> None:
    """Let somebody else look at the run. Of more than `MOST_READERS` the oldest lose it."""
    with _turn:
        people = _people(run.path)
        if _name(reader) not in (*people.readers, ""):
            _write(run.path, replace(people, readers=(*people.readers, reader)[-MOST_READERS:]))


def write_owner(folder: Path, owner: str) -> None:
    """Make the run in `folder` somebody's, "" for nobody's; its readers stay."""
    with _turn:
        people = _people(folder)
        if _name(owner) != people.owner:
            _write(folder, replace(people, owner=owner))


def _people(folder: Path) -> _People:
    path = f"{folder}/{FILE}"
    return _kept.read(path, lambda: _read(Path(path)))


def _read(path: Path) -> _People:
    found = read_object(path, _LARGEST) or {}
    owner, readers = found.get("owner", ""), found.get("readers", [])
    if not _fits(owner) or not isinstance(readers, list) or not all(_fits(reader) and reader for reader in readers):
        return _NOBODY
    return _People(owner, tuple(readers[-MOST_READERS:]))


def _write(folder: Path, people: _People) -> None:
    text = json.dumps({"owner": people.owner, "readers": list(people.readers)})
    atomic.write_text(folder / FILE, text)


def _fits(name: object) -> bool:
    return isinstance(name, str) and len(name) <= LONGEST


def _name(given: object) -> str:
    if not _fits(given):
        raise BadRequest(f"the name of an owner or reader is text of at most {LONGEST} characters")
    return str(given)
