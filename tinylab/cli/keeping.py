"""The commands that look after runs: name, delete, restore, thin, and list the disk space they take."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from tinylab.cli.commands import Commands
from tinylab.cli.output import print_made, print_result, print_rows, print_values
from tinylab.errors import BadRequest

if TYPE_CHECKING:
    from tinylab.runs.run import Run

__all__ = ["add_recording", "add_to"]

_DELETE = """Deleted runs lie in a trash within the runs folder, from where `tinylab restore` brings them back. The app
removes what was deleted more than a week ago when it starts; `tinylab trash --empty` does so at once."""
_THIN = """Drops checkpoints that are of no use any more: of a finished run all, of one that can be resumed all but the
newest whole ones. Results, curves and models stay."""
_DAY = 24 * 3600.0


def add_to(commands: Commands) -> None:
    """`name`, `delete`, `restore`, `trash`, `thin`, `disk`."""
    command = commands.add("name", "give a run a name, and notes", _name)
    command.add_argument("run", metavar="RUN", help="id or folder of the run")
    command.add_argument("name", metavar="NAME", nargs="?", help='the name, at most 80 characters; "" takes it away')
    command.add_argument("--notes", metavar="TEXT", help="what is to be noted about it, at most 5,000 characters")
    command = commands.add("delete", "delete runs; they can be restored", _delete, _DELETE)
    command.add_argument("runs", metavar="RUN", nargs="+", help="ids of runs")
    command = commands.add("restore", "bring deleted runs back", _restore)
    command.add_argument("runs", metavar="RUN", nargs="+", help="what `tinylab trash` calls them")
    command = commands.add("trash", "list the deleted runs, or remove them for good", _trash, _DELETE)
    command.add_argument("--empty", action="store_true", help="remove them for good, all or those of --older-than")
    command.add_argument("--older-than", metavar="DAYS", type=float, help="only what was deleted that many days ago")
    command = commands.add("thin", "drop checkpoints that runs have no use for", _thin, _THIN)
    command.add_argument("runs", metavar="RUN", nargs="+", help="ids or folders of runs")
    commands.add("disk", "list the disk space that runs take, part by part", _disk)


def _name(options: argparse.Namespace) -> int:
    from tinylab.runs.about import describe

    (run,) = _find([options.run])
    described = describe(run, name=options.name, notes=options.notes)
    values = {"run": run.id, "name": described.name, "notes": described.notes}
    if options.json:
        print(json.dumps(values))
    else:
        print_values(values)
    return 0


def _delete(options: argparse.Namespace) -> int:
    from tinylab.runs.trash import delete, refuse_busy

    runs = _find(options.runs)
    for run in runs:  # all or none
        refuse_busy(run, "delete")
    trashed = [delete(run) for run in runs]
    pairs = zip(runs, trashed, strict=True)
    lines = [f"deleted {run.id}; `tinylab restore {name}` brings it back" for run, name in pairs]
    return print_result({"deleted": [run.id for run in runs], "trashed": trashed}, lines, options)


def _restore(options: argparse.Namespace) -> int:
    from tinylab.runs.trash import restore

    paths = [str(restore(name).path) for name in dict.fromkeys(options.runs)]
    return print_result({"restored": paths}, [f"restored {path}" for path in paths], options)


def _trash(options: argparse.Namespace) -> int:
    from tinylab.reports.names import when
    from tinylab.runs.disk import folder_bytes
    from tinylab.runs.trash import empty_trash, list_trash

    if options.older_than is not None and not options.empty:
        raise BadRequest("--older-than belongs to --empty; add that")
    if options.empty:
        if options.older_than is not None and not options.older_than >= 0:
            raise BadRequest("--older-than: a number of days, 0 or more")
        gone = empty_trash(older_than=(options.older_than or 0) * _DAY)
        return print_result({"removed": gone}, [f"removed {gone} runs for good"], options)
    rows = [
        {"run": one.run.id, "deleted": when(one.deleted), "bytes": folder_bytes(one.run.path)} for one in list_trash()
    ]
    return print_rows(rows, options)


def _thin(options: argparse.Namespace) -> int:
    from tinylab.runs.disk import thin

    freed = {run.id: thin(run) for run in _find(options.runs)}
    lines = [
        f"{name}: freed {size / 1e6:,.1f} MB" if size else f"{name}: nothing to drop" for name, size in freed.items()
    ]
    return print_result({"freed": freed}, lines, options)


def _disk(options: argparse.Namespace) -> int:
    from tinylab.runs.disk import disk_use, usage
    from tinylab.runs.store import list_runs

    rows = [{"run": run.id, **vars(found := usage(run)), "total": found.total} for run in list_runs()]
    rows.sort(key=lambda row: -row["total"])
    whole = vars(disk_use())
    if options.json:
        print(json.dumps({"runs": rows, "together": whole}))
        return 0
    print_rows(rows, options)
    parts = ", ".join(f"{name} {size / 1e6:,.1f} MB" for name, size in whole.items())
    print(f"together: {parts}", file=sys.stderr)
    return 0


def _find(references: list[str]) -> list[Run]:
    """The runs, each once; BadRequest for one that is none."""
    from tinylab.runs.store import find_run

    runs = [find_run(reference) for reference in references]
    return list({run.path.absolute(): run for run in runs}.values())


_ABOUT = """Copy what the page shows of a run into the folder of recordings among the assets, without models, logs and
checkpoints, and without anything that says where it was made. The page offers it to everybody: searches, fine-tunings
and comparisons to be watched again, samples, scores and costs as they ended."""


def add_recording(commands: Commands) -> None:
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
