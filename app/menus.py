"""What the menus offer: (label, value) of runs, plans and models, newest first. Unreadable runs are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.run_ids import UNREADABLE
from app.views.names import kept_words, method_label, model_label, plan_label, run_label, when
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.record import Run
from tinylab.runs.store import list_runs

__all__ = ["Entries", "learned_plans", "plan_sources", "run_choices", "shallow_models"]

Entries = list[tuple[str, str]]


def run_choices(kind: str) -> Entries:
    """The runs of a kind."""
    return _gather(list_runs(kind), lambda run: [(run_label(run), run.id)])


def learned_plans() -> Entries:
    """Finished searches, by what they keep."""
    return _gather(list_runs("search"), _plan_of_run)


def plan_sources() -> Entries:
    """Everything that says which blocks to keep: searches, prunes, and the rows of comparisons."""
    return learned_plans() + _gather(list_runs("prune"), _plan_of_run) + _gather(list_runs("compare"), _plans_of_rows)


def shallow_models() -> Entries:
    """Every shallow model that a run has saved: fine-tuned ones first, then those that were only cut."""
    runs = [run for kind in ("finetune", "search", "prune") for run in list_runs(kind)]
    return _gather(runs, _model_of_run) + _gather(list_runs("compare"), _models_of_rows)


def _gather(runs: Iterable[Run], entries: Callable[[Run], Entries]) -> Entries:
    found: Entries = []
    for run in runs:
        try:
            found += entries(run)
        except UNREADABLE:
            continue
    return found


def _plan_of_run(run: Run) -> Entries:
    if not run.plan_path.is_file():
        return []
    plan = DepthPlan.load(run.plan_path)
    return [(" · ".join([kept_words(plan), plan_label(plan), _origin(run)]), run.id)]


def _plans_of_rows(run: Run) -> Entries:
    return [
        (
            " · ".join([" ".join(map(str, row["kept"]["blocks"])), method_label(row["method"]), _origin(run)]),
            str(run.path / row["model"] / "plan.json"),
        )
        for row in run.result().get("rows", [])
    ]


def _model_of_run(run: Run) -> Entries:
    return [(f"{model_label(run.id)} · {_origin(run)}", run.id)] if run.model_path.is_dir() else []


def _models_of_rows(run: Run) -> Entries:
    paths = [str(run.path / row["model"]) for row in run.result().get("rows", [])]
    return [(f"{model_label(path)} · {_origin(run)}", path) for path in paths]


def _origin(run: Run) -> str:
    word = {"compare": "compared "}.get(run.config().kind, "")
    return word + when(run.stored_status().created)
