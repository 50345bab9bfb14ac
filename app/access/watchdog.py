"""Stops jobs that compute longer than a public lab allows, and empties its trash."""

import sys
import threading
import time
import traceback
from dataclasses import replace

from app.access.settings import lab_settings
from app.access.visitors import UNREADABLE
from tinylab.errors import Failure
from tinylab.launch.launch import stop
from tinylab.runs.store import list_runs
from tinylab.runs.trash import WEEK, empty_trash

__all__ = ["stop_overdue", "watch"]

_PAUSE = 5.0  # seconds between two looks
_REST = 60.0  # seconds after something went wrong


def stop_overdue(minutes: float) -> list[str]:
    """Stop every job that has computed for longer; the ids of their runs."""
    stopped = []
    for run in list_runs():
        try:
            status = run.status()
            if not status.active or status.seconds <= 60 * minutes:
                continue
            stop(run)
            words = f"stopped after {minutes:g} minutes, the most in a public lab; ask for fewer steps"
            run.write_status(replace(run.stored_status(), message=words))
            stopped.append(run.id)
        except (*UNREADABLE, Failure):
            continue
    return stopped


def watch() -> None:
    """Look after the jobs of a public lab from now on, in the background."""
    if lab_settings().public:
        threading.Thread(target=_watch, name="watchdog", daemon=True).start()


def _watch() -> None:
    while True:
        try:
            stop_overdue(lab_settings().limits.minutes)
            empty_trash(older_than=WEEK)
            time.sleep(_PAUSE)
        except Exception:  # whatever it is, jobs must not compute for ever
            traceback.print_exc(file=sys.stderr)
            time.sleep(_REST)
