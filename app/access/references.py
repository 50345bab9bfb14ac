"""Which models, runs and files the words of a visitor may lead to."""

from pathlib import Path

from app.access.settings import lab_settings
from app.access.visitors import UNREADABLE, Visitor
from tinylab.errors import BadRequest
from tinylab.models.catalog import built_in_models
from tinylab.models.hub.reference import is_hub_reference, parse_hub_reference
from tinylab.paths import runs_folder

__all__ = ["check_reference", "uploads_folder"]

_UPLOADS = ".uploads"  # no run can be called so


def uploads_folder(visitor: Visitor) -> Path:
    """Where the uploads of a visitor become model folders; in public each has a folder of its own."""
    folder = runs_folder() / _UPLOADS
    return folder / visitor.name if visitor.stranger else folder


def check_reference(reference: str, visitor: Visitor) -> None:
    """BadRequest unless the visitor may load or read what a model, run or plan is called.

    At home that is everything. In public: built-in models, its own uploads, what the lab lists of the Hub, and every
    run that it may see, by its id or by a path within its folder.
    """
    if not visitor.stranger or not reference or reference in built_in_models():
        return
    if is_hub_reference(reference):
        _check_listed(reference)
    elif not (_is_upload(reference, visitor) or _is_in_run(reference, visitor)):
        raise BadRequest(
            f"{Path(reference).name[:80]!r} is not yours to load; take a built-in model, a run of yours or an upload"
        )


def _check_listed(reference: str) -> None:
    found = parse_hub_reference(reference)
    if not {found.repo, f"{found.repo}@{found.revision}"} & set(lab_settings().hub):
        listed = ", ".join(lab_settings().hub) or "none"
        raise BadRequest(f"{found.repo} is not on this lab's list of models from the Hub ({listed})")


def _is_upload(reference: str, visitor: Visitor) -> bool:
    """Whether it is the path of a folder that an upload of the visitor became."""
    return bool(visitor.name) and _resolved(reference).parent == uploads_folder(visitor).resolve()


def _is_in_run(reference: str, visitor: Visitor) -> bool:
    """Whether it is the id of a run that the visitor may see, or a path within one."""
    if Path(reference).name == reference:
        return _sees(reference, visitor)
    try:
        inside = _resolved(reference).relative_to(runs_folder().resolve())
    except ValueError:
        return False
    return bool(inside.parts) and inside.parts[0] != _UPLOADS and _sees(inside.parts[0], visitor)


def _sees(run_id: str, visitor: Visitor) -> bool:
    try:
        visitor.run(run_id)
    except UNREADABLE:
        return False
    return True


def _resolved(reference: str) -> Path:
    """The place itself, wherever dots and links lead; a name that no file can have leads nowhere."""
    try:
        return Path(reference).resolve()
    except (OSError, ValueError):
        return Path("/")
