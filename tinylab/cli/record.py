"""The command that makes a recording of a run, to be watched again where nothing can be computed."""

from __future__ import annotations

import argparse

from tinylab.cli.commands import Commands
from tinylab.cli.output import print_made

__all__ = ["add_to"]

_ABOUT = """Copy what the page shows of a run into the folder of recordings among the assets, without models, logs and
checkpoints, and without anything that says where it was made. The page offers it to everybody: searches, fine-tunings
and comparisons to be watched again, samples, scores and costs as they ended."""


def add_to(commands: Commands) -> None:
    """`record`."""
    command = commands.add("record", "make a recording of a run, to be watched again", _record, _ABOUT)
    command.add_argument("run", metavar="RUN", help="id or folder of the run")
    command.add_argument("--as", dest="name", metavar="NAME", required=True, help="its id is recorded-NAME")


def _record(options: argparse.Namespace) -> int:
    from tinylab.reports.reproduction import shared
    from tinylab.runs.recordings import record
    from tinylab.runs.store import find_run

    made = record(find_run(options.run), options.name, shared)
    size = sum(file.stat().st_size for file in made.path.rglob("*") if file.is_file())
    return print_made({"recording": str(made.path), "bytes": size}, (), options)
