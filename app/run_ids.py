"""Runs by the ids that a browser sends. They come from outside, so nothing but an id of the runs folder is followed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from tinylab.errors import BadRequest
from tinylab.paths import runs_folder
from tinylab.runs.record import Run

__all__ = ["UNREADABLE", "known_run", "run_state"]

# What reading a run may raise when its folder is deleted or damaged meanwhile; BadRequest is a ValueError.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, sqlite3.Error)


def known_run(run_id: Any) -> Run:
    """The run with this id in the runs folder; BadRequest for paths, unknown ids and everything that is no text."""
    if not isinstance(run_id, str) or not run_id or run_id.startswith(".") or Path(run_id).name != run_id:
        raise BadRequest("that is not the id of a run; pick one from the menu")
    return Run.open(runs_folder() / run_id)


def run_state(run_id: str) -> str:
    """How the run stands, "" if there is none to ask."""
    try:
        return known_run(run_id).status().state
    except UNREADABLE:
        return ""
