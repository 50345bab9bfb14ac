"""A chapter of a report: words, figures, tables, pictures, and the numbers behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinylab.reports.table import Table

__all__ = ["Picture", "Plot", "Section", "artifact_png", "png_of"]


@dataclass(frozen=True)
class Plot:
    """A figure, and what it shows in a sentence: its caption, also for those who do not see it."""

    figure: dict[str, Any]
    words: str
    wide: bool = False  # across the whole page, where others stand two in a row


@dataclass(frozen=True)
class Picture:
    """A PNG that the page carries with it."""

    png: bytes
    caption: str
    words: str  # for those who do not see it


@dataclass(frozen=True)
class Section:
    """What a report tells of one run.

    Attributes:
        words: paragraphs of plain text, what was asked first.
        beside: pictures that belong side by side, or below each other where `beside` is False, such as a film.
        data: numbers beyond those of the tables: curves, the mask film, all candidates.
    """

    title: str
    words: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    beside: bool = True
    data: Mapping[str, Any] = field(default_factory=dict)


_LARGEST = 8 * 2**20  # bytes
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_of(path: Path) -> bytes | None:
    """The file's bytes; None if it is missing, no PNG, too large or somewhere else behind a link."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    return data if data.startswith(_SIGNATURE) else None


def artifact_png(artifacts: Path, name: str) -> bytes | None:
    """A picture among the artifacts, by the name that a result gives, which cannot lead out of the folder."""
    return png_of(artifacts / Path(name).name)
