"""Pictures of a run that a page carries with it: only true PNG files of a sensible size."""

from __future__ import annotations

from pathlib import Path

__all__ = ["artifact_png", "png_of"]

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
