"""What the address of the page says: `?run=`, `?tab=`, `?part=`, `?model=`. The browser half is `static/page.js`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.access.allowed import PARTS_BY_KIND, TABS_BY_KIND
from app.access.links import accept_key
from app.access.references import check_reference
from app.access.visitors import UNREADABLE, Visitor
from tinylab.launch.queue import current_queue
from tinylab.models.catalog import built_in_models, describe_model
from tinylab.paths import runs_folder
from tinylab.runs.run import Run

__all__ = ["Attachment", "attach"]

_OTHER_TABS = ("learn", "load", "runs")  # those that show no kind of job
_FIRST_PART = "quality"


@dataclass(frozen=True)
class Attachment:
    """Where a newly opened page begins.

    Attributes:
        tab: the tab to show.
        runs: the run that each kind of panel shows, "" for none.
        model: the model that is loaded, "" for none.
        part: the part of a tab that has several.
    """

    tab: str
    runs: dict[str, str]
    model: str
    part: str = _FIRST_PART


def attach(query: Mapping[str, str], visitor: Visitor) -> Attachment:
    """The view that the address names; where it names nothing, the run at work, else the newest run of each kind.

    A page without any runs begins with the lessons.
    """
    accept_key(query, visitor)
    runs = {kind: next((run.id for run in visitor.runs(kind)), "") for kind in TABS_BY_KIND}
    wanted = _named_run(query.get("run", ""), visitor) or _at_work(visitor)
    tab, part = "load" if wanted or any(runs.values()) else "learn", _FIRST_PART
    models = [query.get("model", ""), *built_in_models()[:1]]
    if wanted:
        config = wanted.config()
        if config.kind in TABS_BY_KIND:
            tab, part = TABS_BY_KIND[config.kind], PARTS_BY_KIND.get(config.kind, part)
            runs[config.kind] = wanted.id
        models.insert(1, _short(getattr(config, "model", None) or ""))
    if query.get("tab") in {*_OTHER_TABS, *TABS_BY_KIND.values()}:
        tab = query["tab"]
    if query.get("part") in PARTS_BY_KIND.values():
        part = query["part"]
    return Attachment(tab, runs, next((model for model in models if _can_load(model, visitor)), ""), part)


def _short(reference: str) -> str:
    """The id of a run in the runs folder that is named by its path, anything else as it is."""
    path = Path(reference)
    return path.name if reference and path.parent == runs_folder().absolute() else reference


def _can_load(model: str, visitor: Visitor) -> bool:
    try:
        check_reference(model, visitor)
        describe_model(model)
        return True
    except UNREADABLE:
        return False


def _at_work(visitor: Visitor) -> Run | None:
    """A run at work, if there is one to look at."""
    return next((run for run in current_queue().working if visitor.may_see(run)), None)


def _named_run(run_id: str, visitor: Visitor) -> Run | None:
    try:
        run = visitor.run(run_id)
        run.config()
        return run
    except UNREADABLE:
        return None
