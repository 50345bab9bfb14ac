"""A report in a few large figures: the model, how much of it stays, what that costs, what it brings."""

from collections.abc import Sequence
from typing import Any

from tinylab.pruning.plan import DepthPlan
from tinylab.reports.names import model_label
from tinylab.reports.reading import as_result, number
from tinylab.runs.run import Run

__all__ = ["headline", "highlights"]

_LOSSES = (
    ("loss_full", "loss of the full model"),
    ("loss_pruned", "right after the cut"),
    ("loss_finetuned", "fine-tuned"),
)


def headline(runs: Sequence[Run]) -> str:
    """What the runs are about, as a title."""
    plan = _plan(runs)
    if plan is not None:
        return f"{model_label(plan.model)}: {sum(plan.depth.values())} → {plan.total} blocks"
    models = list(dict.fromkeys(name for run in runs if (name := getattr(run.config(), "model", None))))
    return " and ".join(model_label(name) for name in models[:3]) or "Runs"


def highlights(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Figures and what they mean, of the first plan; a later run's take the place of an earlier one's."""
    found: dict[str, str] = {}
    plan = _plan(runs)
    if plan is not None:
        found["blocks stay"] = f"{plan.total} of {sum(plan.depth.values())}"
    for run in runs:
        own = _plan([run])
        if plan is None or own is None or (own.model, own.kept) == (plan.model, plan.kept):
            with as_result(run):
                found |= _of(run.result())
    return [(value, words) for words, value in found.items()]


def _plan(runs: Sequence[Run]) -> DepthPlan | None:
    """The plan that the runs share: that of the first one that has any."""
    path = next((run.plan_path for run in runs if run.plan_path.is_file()), None)
    return DepthPlan.load(path) if path else None


def _of(result: dict[str, Any]) -> dict[str, str]:
    found = {words: f"{value:.4f}" for name, words in _LOSSES if (value := number(result.get(name))) is not None}
    drawn = result.get("models") or []
    if len(drawn) > 1 and "speedup" in drawn[-1]:
        found["times as fast"] = f"{number(drawn[-1]['speedup']):.2f}×"
    return found
