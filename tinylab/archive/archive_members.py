"""What an archive claims to hold, judged before a byte of it is unpacked. Free of torch."""

import io
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tinylab.archive.layout import Rule, rule_of, safe_run_id
from tinylab.errors import BadRequest

__all__ = ["DAMAGE", "Member", "members", "opened", "refusal"]

DAMAGE = (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, OverflowError)
_MOST_MEMBERS = 20_000
_LARGEST_READ = 32 * 2**20  # bytes; the table of contents of so many members takes less
_SUSPICIOUS = 256 * 2**20  # bytes from which on it is asked how much smaller they were
_DENSEST = 100  # times that a run's files are at most smaller, all together
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NEEDED = ("config.json", "status.json")


@dataclass(frozen=True)
class Member:
    """A file in the archive, its place in the run folder, and what it has to be."""

    info: zipfile.ZipInfo
    name: str
    rule: Rule


def refusal(problem: str) -> BadRequest:
    """An archive that is not taken; nothing of it stays."""
    return BadRequest(f"the archive {problem}; nothing was imported")


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The zip, whose table of contents cannot take more memory than that of a run."""
    try:
        with _Bounded(path) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except BadRequest:
        raise
    except zipfile.LargeZipFile:
        raise refusal("is no zip of a run") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, OverflowError):
        raise refusal("is damaged or no zip; download it again") from None


def members(archive: zipfile.ZipFile, packed: int, *, largest: int) -> tuple[str, list[Member]]:
    """The id of the run in the archive, "" if that cannot be a name here, and its files.

    Args:
        packed: bytes of the archive.
        largest: bytes that it may unpack to.

    Raises:
        BadRequest: names what no archive of a run has.
    """
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS:
        raise refusal(f"holds {len(infos):,} files, more than the {_MOST_MEMBERS:,} of any run")
    _check_total(sum(info.file_size for info in infos), packed, largest)
    tops: set[str] = set()
    found: dict[str, Member] = {}
    for info in infos:
        _check_entry(info)
        top, _, name = info.filename.partition("/")
        tops.add(top)
        if info.is_dir():
            continue
        if len(tops) > 1:
            break
        rule = rule_of(name)
        if rule is None:
            raise refusal(f"holds {_shown(info.filename)!r}, which no run has; pack the run with `tinylab pack`")
        if name.casefold() in found:
            raise refusal(f"holds {_shown(name)!r} twice")
        if info.file_size > rule.largest:
            raise refusal(f"holds a {_shown(name)!r} of {info.file_size:,} bytes, larger than any")
        found[name.casefold()] = Member(info, name, rule)
    if len(tops) != 1 or any(name not in found for name in _NEEDED):
        raise refusal("does not hold one run in a folder of its own; pack the run with `tinylab pack`")
    return safe_run_id(tops.pop()), list(found.values())


def _check_total(total: int, packed: int, largest: int) -> None:
    if total > largest:
        raise refusal(f"unpacks to {total / 1e6:,.0f} MB, more than the {largest / 1e6:,.0f} MB that are taken here")
    if total > _SUSPICIOUS and total > _DENSEST * packed:
        raise refusal(f"unpacks to {total / 1e6:,.0f} MB from {packed / 1e6:,.1f} MB, which no run does")


def _check_entry(info: zipfile.ZipInfo) -> None:
    """Refuse what only somebody with other aims puts into a zip."""
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    steps = name.rstrip("/").split("/")
    if name != info.filename or "\\" in name or re.match(r"/|[A-Za-z]:", name) or {"", ".", ".."} & {*steps}:
        raise refusal(f"holds the path {_shown(name)!r}, which leads somewhere else")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refusal(f"holds {_shown(name)!r}, which is a link or a device")
    if info.flag_bits & 0x1:
        raise refusal("is encrypted; pack the run without a password")
    if info.compress_type not in _METHODS:
        raise refusal("is packed in a way that runs are not; pack the run with `tinylab pack`")
    if info.is_dir() and info.file_size:
        raise refusal(f"holds the folder {_shown(name)!r} with a content of its own")


def _shown(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:77]}…"


class _Bounded(io.FileIO):
    """A file of which no single read takes much: the table of contents is read at once, whatever its length."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_READ:
            raise zipfile.BadZipFile("a table of contents of that size belongs to no run")
        return super().read(_LARGEST_READ if size is None or size < 0 else size)
