"""What a page may do to runs: name, delete, restore, thin, take in an archive. Orders come from outside."""

from pathlib import Path
from typing import Any

from app.access.quota import check_quota, disk_share
from app.access.visitors import Visitor
from tinylab.archive.unpack import LARGEST, import_archive
from tinylab.errors import BadRequest
from tinylab.reports.readable import check_readable
from tinylab.runs.about import describe
from tinylab.runs.disk import thin
from tinylab.runs.owner import write_owner
from tinylab.runs.run import Run
from tinylab.runs.store import unguessable
from tinylab.runs.trash import Trashed, delete, find_trashed, restore

__all__ = ["carry_out", "take_in"]


def carry_out(order: Any, visitor: Visitor) -> dict[str, Any]:
    """Do what a page orders, `{"do": ..., "run": ...}`; what came of it. BadRequest for what cannot be done."""
    asked = order if isinstance(order, dict) else {}
    match asked.get("do"):
        case "describe":
            said = describe(visitor.own_run(asked.get("run")), name=asked.get("name"), notes=asked.get("notes"))
            return {"name": said.name, "notes": said.notes}
        case "delete":
            return {"trashed": delete(visitor.own_run(asked.get("run")))}
        case "restore":
            trashed = _own_trashed(asked.get("run"), visitor)
            check_quota(visitor)
            return {"run": restore(trashed.run.id).id}
        case "thin":
            return {"freed": thin(visitor.own_run(asked.get("run")))}
    raise BadRequest("the lab does not know this request; reload the page")


def _own_trashed(trashed_id: Any, visitor: Visitor) -> Trashed:
    """A deleted run that the visitor may bring back; to anybody else it is not there."""
    found = find_trashed(trashed_id)
    if not visitor.may_change(found.run):
        raise BadRequest("that run is not in the trash any more")
    return found


def take_in(file: Path, visitor: Visitor) -> Run:
    """The run in an uploaded archive, which is the visitor's own from the start.

    Raises:
        BadRequest: it is no archive of a run, or more than the visitor may keep.
    """
    if file.suffix.lower() != ".zip":
        raise BadRequest("only the .zip that a lab has packed can be taken in")

    def judge(run: Run) -> None:
        check_readable(run)
        if visitor.stranger:
            write_owner(run.path, visitor.name)

    rename = unguessable if visitor.stranger else str
    return import_archive(file, largest=_largest(visitor), judge=judge, rename=rename)


def _largest(visitor: Visitor) -> int:
    """Bytes that an archive may unpack to."""
    check_quota(visitor)
    return disk_share(visitor).free if visitor.stranger else LARGEST
