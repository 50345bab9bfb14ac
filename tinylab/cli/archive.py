"""The commands that hand runs on: as an archive, and as a notebook that does the same again."""

import argparse
from pathlib import Path

from tinylab.cli.commands import Commands
from tinylab.cli.output import print_result
from tinylab.errors import BadRequest

__all__ = ["add_to"]

_PACK = """One zip that `tinylab unpack`, or the Runs tab of another lab, takes in. A run at work can be packed, too: it
is a stopped one there."""
_UNPACK = """Everything in the archive is checked before it is used. The run keeps its name, or gets a number after it
where that name is taken."""
_NOTEBOOK = """A Jupyter notebook that computes the same with the library, several runs one after the other: a run that
a later one builds on is taken from the notebook itself."""


def add_to(commands: Commands) -> None:
    """`pack`, `unpack`, `notebook`."""
    command = commands.add("pack", "pack a run into one file", _pack, _PACK)
    command.add_argument("run", metavar="RUN", help="id or folder of the run")
    command.add_argument("--out", metavar="FILE", help="the archive (default: tinylab-RUN.zip)")
    command.add_argument("--checkpoints", action="store_true", help="with what a stopped run needs to be resumed")
    command.add_argument("--force", action="store_true", help="replace a file that is there")
    command = commands.add("unpack", "take in a run that was packed", _unpack, _UNPACK)
    command.add_argument("file", metavar="FILE", help="an archive that `tinylab pack` made")
    command = commands.add("notebook", "write a notebook that does what runs did", _notebook, _NOTEBOOK)
    command.add_argument("runs", metavar="RUN", nargs="+", help="ids or folders of runs, in the order of the work")
    command.add_argument("--out", metavar="FILE", default="tinylab.ipynb", help="the notebook (default: tinylab.ipynb)")
    command.add_argument("--title", metavar="TEXT", default="", help="its title")
    command.add_argument("--force", action="store_true", help="replace a file that is there")


def _pack(options: argparse.Namespace) -> int:
    from tinylab.archive.archive import archive_name, pack
    from tinylab.files import atomic
    from tinylab.runs.store import find_run

    run = find_run(options.run)
    out = _place(options.out or archive_name(run), ".zip", force=options.force)
    with atomic.disk_errors(f"choose another place for --out {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic.new_file(out) as temporary, temporary.open("wb") as file:
            file.writelines(pack(run, checkpoints=options.checkpoints))
    return _wrote(out, {"run": run.id}, options)


def _unpack(options: argparse.Namespace) -> int:
    from tinylab.archive.unpack import import_archive
    from tinylab.reports.readable import check_readable

    file = Path(options.file)
    if not file.is_file():
        raise BadRequest(f"there is no file {options.file}; give an archive that `tinylab pack` made")
    run = import_archive(file, judge=check_readable)
    return print_result({"run": str(run.path)}, [f"run: {run.path}"], options)


def _notebook(options: argparse.Namespace) -> int:
    from tinylab.files import atomic
    from tinylab.runs.notebook import notebook_of
    from tinylab.runs.store import find_run

    runs = [find_run(reference) for reference in options.runs]
    out = _place(options.out, ".ipynb", force=options.force)
    text = notebook_of([run.config() for run in runs], homes=[run.path for run in runs], title=options.title)
    with atomic.disk_errors(f"choose another place for --out {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(out, text)
    return _wrote(out, {"runs": [run.id for run in runs]}, options)


def _place(name: str, ending: str, *, force: bool) -> Path:
    """Where a file goes; BadRequest where that cannot be, or where one lies already."""
    out = Path(name)
    if out.suffix.lower() != ending or out.is_dir():
        raise BadRequest(f"--out {name}: name a file that ends in {ending}")
    blocked = next((place for place in out.absolute().parents if place.exists() and not place.is_dir()), None)
    if blocked is not None:
        raise BadRequest(f"--out {name}: {blocked} is no folder; choose another place")
    if out.exists() and not force:
        raise BadRequest(f"{out} is there already; choose another name for --out, or add --force")
    return out


def _wrote(out: Path, values: dict[str, object], options: argparse.Namespace) -> int:
    size = out.stat().st_size
    return print_result({**values, "file": str(out), "bytes": size}, [f"wrote {out} ({size / 1e6:.1f} MB)"], options)
