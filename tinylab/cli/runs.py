"""The command that lists the runs."""

from __future__ import annotations

import argparse
import os
import time
from typing import TYPE_CHECKING, Any

from tinylab.cli.commands import Commands
from tinylab.cli.output import print_rows
from tinylab.errors import BadRequest
from tinylab.processes import module_command, module_environment

if TYPE_CHECKING:
    from tinylab.runs.run import Run

__all__ = ["add_app", "add_to"]


def add_to(commands: Commands) -> None:
    """`runs`."""
    command = commands.add("runs", "list the runs", _runs)
    command.add_argument(
        "--find", metavar="WORDS", default="", help="only those that have these words in id, name, notes, kind or state"
    )


def _runs(options: argparse.Namespace) -> int:
    from tinylab.runs.store import damaged_runs, has_words, list_runs

    rows = []
    for run in list_runs():
        try:
            if has_words(run, options.find):
                rows.append(_row(run))
        except BadRequest:  # deleted since it was listed
            continue
    unknown = {"name": "", "kind": "?", "state": "damaged", "progress": "", "created": ""}
    damaged = [] if options.find else damaged_runs()
    rows += [{"run": path.name, **unknown, "message": problem} for path, problem in damaged]
    return print_rows(rows, options)


def _row(run: Run) -> dict[str, Any]:
    from tinylab.runs.about import about

    status = run.status()
    return {
        "run": run.id,
        "name": about(run).name,
        "kind": run.config().kind,
        "state": status.state,
        "progress": f"{status.step}/{status.steps}",
        "created": time.strftime("%Y-%m-%d %H:%M", time.localtime(status.created)),
        "message": _place(run) if status.state == "queued" else status.message,
    }


def _place(run: Run) -> str:
    """Which place in the queue a run has, and when it will start; "" if it has started since."""
    from tinylab.launch.queue import place_of
    from tinylab.reports.names import duration

    place = place_of(run)
    if place is None:
        return ""
    when = "" if place.seconds is None else f", starts in about {duration(place.seconds)}"
    return f"place {place.position} in line{when}"


def add_app(commands: Commands) -> None:
    """`app`."""
    commands.add("app", "open the lab in a browser", _app)


def _app(options: argparse.Namespace) -> int:
    command = module_command("app")
    os.execve(command[0], command, module_environment())
