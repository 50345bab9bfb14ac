"""The command that writes a report of runs: one page that needs nothing else, and its numbers beside it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinylab.cli.commands import Commands
from tinylab.errors import BadRequest

if TYPE_CHECKING:
    from tinylab.runs.run import Run

__all__ = ["add_to"]

_ABOUT = """One self-contained page about one run or several: what was asked, the mask film, the layers that stay,
curves, samples from equal noise, tables of losses, scores and costs, and the commands that make it all again. Beside
the page lie a .csv file with every table and a .json file with every number. Runs that are not finished are told as
far as they have come."""
_MARK = '<div class="mark">'  # in every report, and in hardly anything else
_HEAD = 200_000  # bytes in which it is looked for
_SOON = 1.0  # seconds after which one is told what is going on


def add_to(commands: Commands) -> None:
    """`report`."""
    command = commands.add("report", "write a page about runs, which needs nothing else", _report, _ABOUT)
    command.add_argument("runs", metavar="RUN", nargs="*", help="ids or folders of runs, in the order of the page")
    command.add_argument("--out", metavar="FILE", default="report.html", help="the page (default: report.html)")
    command.add_argument("--title", metavar="TEXT", help="the page's title (default: what the runs are about)")
    command.add_argument("--baseline", metavar="LABEL", help="the row that tables pin, and set the others against")
    command.add_argument("--force", action="store_true", help="replace a file that is no report")


def _report(options: argparse.Namespace) -> int:
    began = time.monotonic()
    runs = _runs(options.runs)
    out = _place(options.out, force=options.force)
    from tinylab.files import atomic
    from tinylab.reports.report import build_report

    def progress(number: int, name: str) -> None:
        if time.monotonic() - began > _SOON:
            print(f"report: {name} ({number} of {len(runs)})", file=sys.stderr)

    report = build_report(runs, title=options.title, baseline=options.baseline, progress=progress)
    files = {out: report.html, out.with_suffix(".csv"): report.csv, out.with_suffix(".json"): report.json}
    with atomic.disk_errors(f"choose another place for --out {options.out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            atomic.write_text(path, text)
    if options.json:
        print(json.dumps({"title": report.title, "runs": [run.id for run in runs], "files": list(map(str, files))}))
    else:
        for path in files:
            print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


def _runs(references: Sequence[str]) -> list[Run]:
    """The runs, each once; BadRequest for one that is none."""
    from tinylab.runs.store import find_run

    if not references:
        raise BadRequest("no run given; `tinylab runs` lists the runs there are")
    runs = [find_run(reference) for reference in references]
    return list({run.path.absolute(): run for run in runs}.values())


def _place(name: str, *, force: bool) -> Path:
    """Where the page goes; BadRequest where that cannot be, or where something else lies."""
    out = Path(name)
    if not out.name or out.is_dir() or out.suffix.lower() not in (".html", ".htm"):
        raise BadRequest(f"--out {name}: name a file that ends in .html; its .csv and .json are written beside it")
    blocked = next((place for place in out.absolute().parents if place.exists() and not place.is_dir()), None)
    if blocked is not None:
        raise BadRequest(f"--out {name}: {blocked} is no folder; choose another place")
    for path in (out, out.with_suffix(".csv"), out.with_suffix(".json")):
        if path.is_dir() or (path.exists() and not force and not _is_report(path)):
            raise BadRequest(f"{path} is there and is no report; choose another name for --out, or add --force")
    return out


def _is_report(path: Path) -> bool:
    """Whether a file is what this command writes, as far as its beginning tells."""
    try:
        with path.open("rb") as file:
            text = file.read(_HEAD).decode(errors="replace")
    except OSError:
        return False
    if path.suffix == ".csv":
        return text.startswith("table,")
    if path.suffix == ".json":
        return text.startswith('{\n "title"') and '"tinylab"' in text
    return _MARK in text
