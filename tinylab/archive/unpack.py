"""Taking in a run that somebody else has packed. Everything is checked before anything of it is used.

The archive is unpacked below `.incoming/` in the runs folder, where nothing looks for runs, and moved at the end.
"""

import contextlib
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tinylab.archive.archive_checks import check_file
from tinylab.archive.archive_members import Member, members, opened, refusal
from tinylab.archive.layout import METRICS
from tinylab.archive.metrics_copy import copy_metrics
from tinylab.errors import BadRequest, Failure
from tinylab.files import atomic
from tinylab.paths import runs_folder
from tinylab.runs.recordings import recording
from tinylab.runs.run import Run
from tinylab.runs.store import move_to_free_name

__all__ = ["LARGEST", "import_archive"]

LARGEST = 16 * 2**30  # bytes that an archive may unpack to, unless set otherwise
_CHUNK = 2**20
_LONGEST = 240  # characters of a message about one file
_SPARE = 64 * 2**20  # bytes that stay free on the disk
_FORGOTTEN = 24 * 3600.0  # seconds after which what was being unpacked is left over from a crash
_DONE = ("finished", "failed", "stopped", "interrupted", "created")  # all others mean that somebody works on it


def import_archive(
    file: Path,
    *,
    largest: int = LARGEST,
    judge: Callable[[Run], None] | None = None,
    rename: Callable[[str], str] = str,
) -> Run:
    """The run in an archive that `pack` made, as a new run of the runs folder; a name that is taken gets a number.

    A run that was at work when it was packed is a stopped one here.

    Args:
        largest: bytes that it may unpack to.
        judge: may refuse the unpacked run with a BadRequest before it is seen by anybody.
        rename: from its id in the archive to its id here.

    Raises:
        BadRequest: it is no such archive, or something in it is not what it should be. Nothing is left behind.
        Failure: the disk is full.
    """
    incoming = runs_folder() / ".incoming"
    with atomic.disk_errors("free some space and import it again"), opened(file) as archive:
        run_id, found = members(archive, file.stat().st_size, largest=largest)
        incoming.mkdir(parents=True, exist_ok=True)
        _sweep(incoming)
        _check_space(incoming, found)
        place = Path(tempfile.mkdtemp(dir=incoming))
        try:
            run = Run(place / (run_id or f"imported-{time.strftime('%Y%m%d-%H%M%S')}"))
            _extract(archive, found, run.path)
            _settle(run)
            if judge is not None:
                judge(run)
            atomic.flush_folder(run.path)
            target = move_to_free_name(run.path, runs_folder() / rename(run.id), taken=recording)
            atomic.flush(target.parent)
            return Run.open(target)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def _check_space(folder: Path, found: Sequence[Member]) -> None:
    wanted, free = sum(member.info.file_size for member in found), shutil.disk_usage(folder).free
    if wanted + _SPARE > free:
        raise Failure(f"the archive unpacks to {wanted / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free; free some space")


def _extract(archive: zipfile.ZipFile, found: Sequence[Member], folder: Path) -> None:
    """Write the files, small ones that describe it first, each checked as soon as it is there."""
    for name in ("", "checkpoints", "artifacts"):
        (folder / name).mkdir()
    for member in sorted(found, key=lambda member: ("/" in member.name, member.rule.form == "metrics", member.name)):
        target = folder / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(archive, member, target)
        try:
            if member.rule.form == "metrics":
                _take_curves(target)
            else:
                check_file(target, member.rule.form)
        except BadRequest as problem:
            text = str(problem).replace(str(folder), "")
            shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
            raise refusal(f"cannot be taken: {shown}") from None


def _write(archive: zipfile.ZipFile, member: Member, target: Path) -> None:
    """Unpack one file; never more than it claims to hold."""
    written = 0
    with archive.open(member.info) as source, target.open("xb") as out:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > member.info.file_size:
                raise refusal(f"holds more of {member.name!r} than it says")
            out.write(chunk)
    if written != member.info.file_size:
        raise refusal(f"holds less of {member.name!r} than it says; download it again")
    target.chmod(0o644)


def _take_curves(path: Path) -> None:
    """Put a file of our own with the same rows in place of a stranger's."""
    theirs = path.with_name(f".{METRICS}.theirs")
    path.rename(theirs)
    try:
        copy_metrics(theirs, path, alone=True)
    finally:
        theirs.unlink(missing_ok=True)


def _settle(run: Run) -> None:
    """A state that fits a run that no process here works on."""
    status, now = run.stored_status(), time.time()
    times = {name: min(max(0.0, getattr(status, name)), now) for name in ("created", "heartbeat", "seconds")}
    status = replace(status, pid=0, process_start=0.0, seconds_left=None, queued=0.0, slot=-1, **times)
    if status.state not in _DONE:
        status = replace(status, state="stopped", message="it was at work when it was packed; resume it to go on")
    run.write_status(status)


def _sweep(incoming: Path) -> None:
    """Remove what imports left that were killed."""
    for place in incoming.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > _FORGOTTEN:
                shutil.rmtree(place, ignore_errors=True)
