"""How much room a visitor's runs and uploads take, and what goes first where there is none.

In public everybody has a share of the disk. What was deleted stays there, to be brought back, until the room is needed
for something else.
"""

from contextlib import suppress
from pathlib import Path

from app.access.references import uploads_folder
from app.access.settings import lab_settings
from app.access.visitors import Visitor
from tinylab.errors import BadRequest
from tinylab.files import atomic
from tinylab.paths import runs_folder
from tinylab.runs.disk import DiskUse, disk_use, folder_bytes
from tinylab.runs.trash import Trashed, list_trash, purge

__all__ = ["check_quota", "check_space", "deleted_runs", "disk_share"]

_MEGABYTE = 2**20


def deleted_runs(visitor: Visitor) -> list[Trashed]:
    """The runs that the visitor has deleted and may bring back, the last one first."""
    return [one for one in list_trash() if visitor.may_change(one.run)]


def disk_share(visitor: Visitor) -> DiskUse:
    """How much room everything takes; in public what is the visitor's own, and what is left to it."""
    if not visitor.stranger:
        return disk_use()
    runs, trash = _runs_bytes(visitor), _bytes(deleted_runs(visitor))
    uploads = folder_bytes(uploads_folder(visitor))
    return DiskUse(runs, trash, uploads, max(0, lab_settings().limits.megabytes * _MEGABYTE - runs - uploads))


def check_quota(visitor: Visitor) -> None:
    """BadRequest, with what to delete, unless there is room for one more run of the visitor."""
    _check_known(visitor)
    if not visitor.stranger:
        return
    count, most = len(visitor.own_runs()), lab_settings().limits.runs
    if count >= most:
        raise BadRequest(f"you keep {count} runs, the most in a public lab; delete some in the Runs tab")
    check_space(visitor)


def check_space(visitor: Visitor, *, upload: int = 0) -> None:
    """BadRequest unless there is space for what the visitor wants to keep, once what was deleted is gone for good.

    Args:
        upload: bytes of a file that is to be kept; older uploads make room for it, runs do not.
    """
    _check_known(visitor)
    if not visitor.stranger:
        return
    own = lab_settings().limits.megabytes * _MEGABYTE
    for trashed in reversed(deleted_runs(visitor)):
        if _all_bytes(visitor) + upload > own:
            purge(trashed)
    for older in _by_age(uploads_folder(visitor)) if upload else ():
        if _all_bytes(visitor) + upload > own:
            atomic.remove_folder(older)
    if (taken := _all_bytes(visitor) + upload) > own:
        raise BadRequest(
            f"your runs take {taken // _MEGABYTE:,} MB, more than the {own // _MEGABYTE:,} of a public lab; "
            "delete or thin some in the Runs tab"
        )
    _check_disk(upload)


def _check_disk(more: int) -> None:
    """BadRequest if the disk is full of what people keep; what anybody has deleted goes first, the oldest of it."""
    most = lab_settings().limits.disk * _MEGABYTE - more
    for trashed in reversed(list_trash()):
        if folder_bytes(runs_folder()) > most:
            purge(trashed)
    if folder_bytes(runs_folder()) > most:
        raise BadRequest("the disk of this public lab is full; come back later, or run the lab at home")


def _check_known(visitor: Visitor) -> None:
    if not visitor.known:
        raise BadRequest("this browser keeps no cookie for the lab, so it could not find its runs again; allow it one")


def _runs_bytes(visitor: Visitor) -> int:
    return sum(folder_bytes(run.path) for run in visitor.own_runs())


def _bytes(deleted: list[Trashed]) -> int:
    return sum(folder_bytes(one.run.path) for one in deleted)


def _all_bytes(visitor: Visitor) -> int:
    return _runs_bytes(visitor) + _bytes(deleted_runs(visitor)) + folder_bytes(uploads_folder(visitor))


def _by_age(uploads: Path) -> list[Path]:
    """The uploads of a visitor, the one that was made first first."""
    with suppress(OSError):  # nothing was ever uploaded
        return sorted((path for path in uploads.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    return []
