"""The command that lists the runs."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from tinylab.cli.commands import Commands
from tinylab.cli.output import print_rows
from tinylab.errors import BadRequest

if TYPE_CHECKING:
    from tinylab.runs.record import Run

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """`runs`."""
    commands.add("runs", "list the runs", _runs)


def _runs(options: argparse.Namespace) -> int:
    from tinylab.runs.store import damaged_runs, list_runs

    rows = []
    for run in list_runs():
        try:
            rows.append(_row(run))
        except BadRequest:  # deleted since it was listed
            continue
    unknown = {"kind": "?", "state": "damaged", "progress": "", "created": ""}
    rows += [{"run": path.name, **unknown, "message": problem} for path, problem in damaged_runs()]
    return print_rows(rows, options)


def _row(run: Run) -> dict[str, Any]:
    status = run.status()
    return {
        "run": run.id,
        "kind": run.config().kind,
        "state": status.state,
        "progress": f"{status.step}/{status.steps}",
        "created": time.strftime("%Y-%m-%d %H:%M", time.localtime(status.created)),
        "message": status.message,
    }
