"""A run as one file: a zip that is made while it is sent, so that gigabytes need no disk space twice. Free of torch."""

import itertools
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tinylab.archive.layout import LOG_TAIL, METRICS, rule_of, safe_run_id
from tinylab.archive.metrics_copy import copy_metrics
from tinylab.runs.run import Run

__all__ = ["archive_name", "pack"]

_CHUNK = 2**20  # bytes
_FIRST = ("config.json", "status.json", "origin.json", "about.json", "plan.json", "log.txt")
_PACKED_ALREADY = (".png", ".npz", ".safetensors")


def archive_name(run: Run) -> str:
    """What the archive of a run is called."""
    return f"tinylab-{safe_run_id(run.id) or 'run'}.zip"


def pack(run: Run, *, checkpoints: bool = False) -> Iterator[bytes]:
    """The pieces of a zip of the run, which may be at work: its curves are those of one moment.

    Args:
        checkpoints: whether what a stopped job needs to go on goes along.

    Raises:
        BadRequest: config, status or curves are damaged; before the first piece.
    """
    run.config()
    run.stored_status()
    pieces = _pieces(run, checkpoints=checkpoints)
    return itertools.chain([next(pieces)], pieces)  # the first one comes after the curves were read


def _pieces(run: Run, *, checkpoints: bool) -> Iterator[bytes]:
    outlet = _Outlet()
    top = safe_run_id(run.id) or f"run-{time.strftime('%Y%m%d-%H%M%S')}"
    with tempfile.TemporaryDirectory(prefix="tinylab-pack-") as place:
        curves = Path(place) / METRICS
        if run.metrics_path.exists():
            copy_metrics(run.metrics_path, curves)
        with zipfile.ZipFile(outlet, "w") as archive:  # type: ignore[call-overload]  # it only ever writes
            for name in _names(run.path, checkpoints=checkpoints):
                path = curves if name == METRICS else run.path / name
                for _ in _add(archive, path, f"{top}/{name}"):
                    yield from outlet.taken()
        yield from outlet.taken()


def _names(folder: Path, *, checkpoints: bool) -> list[str]:
    """The files that go along, by their place in the folder, small ones first."""
    found = []
    for place, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = Path(place) / file
            rule = rule_of(name := path.relative_to(folder).as_posix())
            if rule is not None and (checkpoints or not rule.checkpoint) and path.is_file() and not path.is_symlink():
                found.append(name)
    return sorted(found, key=lambda name: (name not in _FIRST, name))


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> Iterator[None]:
    """Write one file chunk by chunk; one that is gone meanwhile is left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        state = os.fstat(file.fileno())
        info = zipfile.ZipInfo(name, time.localtime(max(state.st_mtime, 315619200.0))[:6])  # zips begin with 1980
        info.external_attr = 0o644 << 16
        info.compress_type = zipfile.ZIP_STORED if path.suffix in _PACKED_ALREADY else zipfile.ZIP_DEFLATED
        if path.name == "log.txt":
            file.seek(max(0, state.st_size - LOG_TAIL))
        left = LOG_TAIL if path.name == "log.txt" else None  # a log may grow while it is read
        with archive.open(info, "w", force_zip64=state.st_size > 2**30) as entry:
            while chunk := file.read(_CHUNK if left is None else min(_CHUNK, left)):
                left = None if left is None else left - len(chunk)
                entry.write(chunk)
                yield


class _Outlet(list[bytes]):
    """The pieces of a zip that were written and not handed on yet."""

    def write(self, data: bytes) -> int:
        self.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits anywhere else."""

    def taken(self) -> Iterator[bytes]:
        """What has come since the last time."""
        if self:
            yield b"".join(self)
            self.clear()
