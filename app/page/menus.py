"""What the menus offer: (label, value) of runs, plans and models, newest first. Unreadable runs are left out."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from app.access.visitors import UNREADABLE, Visitor
from app.views.names import kept_words, run_label, when
from tinylab.errors import BadRequest
from tinylab.models.catalog import locate_model
from tinylab.pruning.plan import DepthPlan
from tinylab.reports.names import method_label, model_label, plan_label
from tinylab.runs.recordings import is_recording, recordings
from tinylab.runs.run import Run

__all__ = ["Entries", "comparable_runs", "learned_plans", "plan_sources", "rows_of", "run_choices", "shallow_models"]

Entries = list[tuple[str, str]]


def run_choices(visitor: Visitor, kind: str) -> Entries:
    """The runs of a kind, those that ship with the lab last."""
    own = _gather(visitor.runs(kind), lambda run: [(run_label(run), run.id)])
    return own + _gather(recordings(kind), lambda run: [(f"recorded · {run_label(run)}", run.id)])


def comparable_runs(visitor: Visitor, kind: str, shown: str) -> Entries:
    """The other runs of a kind that `shown` can be compared with, and "" for none of them."""
    return [("nothing", ""), *(entry for entry in run_choices(visitor, kind) if entry[1] != shown)]


def rows_of(visitor: Visitor, run_id: str, labels: Callable[[Run], Iterable[str]]) -> Entries:
    """The rows of a table of the run that is shown, and "" for none of them."""
    nothing = [("nothing", "")]
    try:
        return nothing + [(label, label) for label in dict.fromkeys(labels(visitor.run(run_id)))]
    except UNREADABLE:
        return nothing


def learned_plans(visitor: Visitor, model: str) -> Entries:
    """Finished searches in `model`, by what they keep, those that ship with the lab last."""
    return _gather([*visitor.runs("search"), *recordings("search")], lambda run: _plan_of_run(run, model))


def plan_sources(visitor: Visitor, model: str) -> Entries:
    """Everything that says which blocks of `model` to keep: searches, prunes, and the rows of comparisons."""
    prunes = _gather(visitor.runs("prune"), lambda run: _plan_of_run(run, model))
    rows = _gather(visitor.runs("compare"), lambda run: _plans_of_rows(run, model))
    return learned_plans(visitor, model) + prunes + rows


def shallow_models(visitor: Visitor, model: str) -> Entries:
    """Every shallow model that a run has made of `model`: fine-tuned ones first, then those that were only cut."""
    runs = [run for kind in ("finetune", "search", "prune") for run in visitor.runs(kind)]
    made = _gather(runs, lambda run: _model_of_run(run, model))
    return made + _gather(visitor.runs("compare"), lambda run: _models_of_rows(run, model))


def _gather(runs: Iterable[Run], entries: Callable[[Run], Entries]) -> Entries:
    found: Entries = []
    for run in runs:
        try:
            found += entries(run)
        except UNREADABLE:
            continue
    return found


def _made_for(plan: DepthPlan, model: str) -> bool:
    """Whether a plan cuts the model that is loaded, however both are called."""
    return plan.model == model or (bool(plan.model) and locate_model(plan.model, fetches=False) == locate_model(model))


def _plan_of_run(run: Run, model: str) -> Entries:
    if not run.plan_path.is_file():
        return []
    plan = DepthPlan.load(run.plan_path)
    if not _made_for(plan, model):
        return []
    return [(" · ".join([kept_words(plan), plan_label(plan), _origin(run)]), run.id)]


def _rows_for(run: Run, model: str) -> list[tuple[dict[str, Any], DepthPlan]]:
    """The rows of a comparison, each with its plan; none if it compared another model."""
    rows = [(row, DepthPlan.load(_within(run, row["model"]) / "plan.json")) for row in run.result().get("rows", [])]
    return [(row, plan) for row, plan in rows if _made_for(plan, model)]


def _within(run: Run, name: str) -> Path:
    """A folder of the run; BadRequest for a name that leads out of it, as an imported run may have."""
    folder = (run.path / name).resolve()
    if not folder.is_relative_to(run.path.resolve()):
        raise BadRequest(f"run {run.id} names a folder that is not its own")
    return folder


def _plans_of_rows(run: Run, model: str) -> Entries:
    return [
        (
            " · ".join([kept_words(plan), method_label(row["method"]), _origin(run)]),
            str(run.path / row["model"] / "plan.json"),
        )
        for row, plan in _rows_for(run, model)
    ]


def _model_of_run(run: Run, model: str) -> Entries:
    if not run.model_path.is_dir() or not _made_for(DepthPlan.load(run.plan_path), model):
        return []
    return [(f"{model_label(run.id)} · {_origin(run)}", run.id)]


def _models_of_rows(run: Run, model: str) -> Entries:
    paths = [str(run.path / row["model"]) for row, _ in _rows_for(run, model)]
    return [(f"{model_label(path)} · {_origin(run)}", path) for path in paths]


def _origin(run: Run) -> str:
    word = "recorded " if is_recording(run) else {"compare": "compared "}.get(run.config().kind, "")
    return word + when(run.stored_status().created)
