"""JSON files: reading an object that a stranger may have written, and writing one at once."""

import json
from pathlib import Path
from typing import Any

from tinylab.files import atomic

__all__ = ["read_object", "write_json"]


def read_object(path: Path, limit: int = 4 * 2**20) -> dict[str, Any] | None:
    """The object in a file of at most `limit` bytes; None for anything else, be it a folder or a device without end."""
    try:
        if not path.is_file() or path.stat().st_size > limit:
            return None
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by the value, indented, and flushed to the disk first."""
    atomic.write_text(path, json.dumps(value, indent=2) + "\n")
