"""Commands that several processes carry out together: the main one speaks, the others compute along."""

import argparse
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import NoReturn

from tinylab.distributed import ProcessGroup, join_group, launched, leave_group
from tinylab.errors import Failure, Stopped

__all__ = ["shared"]

Handler = Callable[[argparse.Namespace], int]


def shared(handler: Handler) -> Handler:
    """The command as it is, in one process; in several the main one carries it out and the others help."""

    @wraps(handler)
    def run(options: argparse.Namespace) -> int:
        if launched() == 1:
            return handler(options)
        from tinylab.processes import share_cores

        share_cores()
        team = join_group()
        try:
            status = handler(options) if team.main else _help(team)
        finally:
            team.over()
        if not team.main:
            _leave(status)
        leave_group()
        return status

    return run


def _leave(status: int) -> NoReturn:
    """End a process that has helped, at once: all that lasts was written by the main one, and threads of gloo that are
    torn down while others still work have aborted a process that was done."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _help(team: ProcessGroup) -> int:
    """Compute along until the job is done; 0 also where the main process says how it ended.

    Raises:
        Failure: what went wrong in this process alone.
    """
    job = team.listen()
    if not job:
        return 0
    from tinylab.jobs.execute import execute_along
    from tinylab.runs.run import Run

    try:
        execute_along(Run.open(Path(job)))
    except Stopped:  # all stopped at the same step
        return 0
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        if team.report_failure(what):
            return 0
        raise Failure(f"process {team.rank}: {what}") from error
    return 0
