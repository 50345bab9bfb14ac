"""Runs by the ids that a browser sends. They come from outside, so nothing but an id of the runs folder is followed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.paths import runs_folder
from tinylab.runs.recordings import recording
from tinylab.runs.run import Run

__all__ = ["UNREADABLE", "known_run"]

# What reading a run may raise when its folder is deleted or damaged meanwhile; BadRequest is a ValueError.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, sqlite3.Error)

_UNKNOWN = "that is not the id of a run; pick one from the menu"


def known_run(run_id: Any) -> Run:
    """The run with this id in the runs folder, or the recording.

    Raises:
        BadRequest: it is a path, unknown, or no text at all.
    """
    if not isinstance(run_id, str) or not run_id or run_id.startswith(".") or Path(run_id).name != run_id:
        raise BadRequest(_UNKNOWN)
    try:
        return recording(run_id) or Run.open(runs_folder() / run_id)
    except BadRequest:  # whose words tell where runs lie
        raise BadRequest(_UNKNOWN) from None
