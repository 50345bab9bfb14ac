"""What people call a run, and what they note about it: `about.json` in its folder. Free of torch."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.files.json_file import read_object
from tinylab.runs.run import Run

__all__ = ["ABOUT_FILE", "About", "about", "describe"]

ABOUT_FILE = "about.json"
_LONGEST_NAME, _LONGEST_NOTES = 80, 5000  # characters
_LARGEST = 64 * 1024  # bytes of the file


@dataclass(frozen=True)
class About:
    """A name of one line, and notes of several; both may be empty."""

    name: str = ""
    notes: str = ""

    @classmethod
    def of(cls, name: Any, notes: Any) -> Self:
        """Both, tidied; BadRequest for what is no text, too long, or cannot be shown."""
        return cls(_tidy_name(name), _tidy_notes(notes))


def about(run: Run) -> About:
    """Name and notes of the run; both empty where the file is damaged."""
    values = read_object(run.path / ABOUT_FILE, _LARGEST) or {}
    try:
        return About.of(values.get("name", ""), values.get("notes", ""))
    except BadRequest:
        return About()


def describe(run: Run, *, name: str | None = None, notes: str | None = None) -> About:
    """Give the run a name, notes, or both; what is None stays as it is, "" takes it away.

    Raises:
        BadRequest: too long, or characters that cannot be shown.
    """
    known = about(run)
    fresh = About.of(known.name if name is None else name, known.notes if notes is None else notes)
    if fresh != known:
        write_about(run.path, fresh)
    return fresh


def write_about(folder: Path, fresh: About) -> None:
    """Store it, or remove the file where both are empty."""
    path = folder / ABOUT_FILE
    if fresh == About():
        path.unlink(missing_ok=True)
    else:
        atomic.write_text(path, json.dumps(asdict(fresh), indent=2, ensure_ascii=False) + "\n")


def _tidy_name(name: Any) -> str:
    tidy = " ".join(_text(name, "the name").split())
    if len(tidy) > _LONGEST_NAME:
        raise BadRequest(f"the name has {len(tidy)} characters; {_LONGEST_NAME} at most, the rest can go to the notes")
    if not tidy.isprintable():
        raise BadRequest("the name has characters that cannot be shown; type it again")
    return tidy


def _tidy_notes(notes: Any) -> str:
    tidy = _text(notes, "the notes").replace("\r\n", "\n").strip()
    if len(tidy) > _LONGEST_NOTES:
        raise BadRequest(f"the notes have {len(tidy):,} characters; {_LONGEST_NOTES:,} at most: shorten them")
    if not tidy.replace("\n", "").replace("\t", "").isprintable():
        raise BadRequest("the notes have characters that cannot be shown; type them again")
    return tidy


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"{what} must be text")
    return value
