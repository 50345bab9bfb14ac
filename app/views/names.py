"""What runs are called in menus; methods and models are called as in reports. Nothing here is escaped yet."""

import time
from collections.abc import Sequence
from pathlib import Path

from app.views.settings import loss_label
from tinylab.config import (
    CompareConfig,
    CostConfig,
    EvaluateConfig,
    FinetuneConfig,
    JobConfig,
    SampleConfig,
    SearchConfig,
)
from tinylab.errors import BadRequest
from tinylab.models.catalog import built_in_models
from tinylab.pruning.plan import DepthPlan
from tinylab.reports.names import plan_label
from tinylab.runs.about import about
from tinylab.runs.run import Run
from tinylab.runs.store import find_plan

__all__ = ["STATES", "kept_words", "recovery_label", "run_label", "when"]

STATES = {
    "created": "Waiting",
    "queued": "Queued",
    "starting": "Starting",
    "running": "Running",
    "stopped": "Stopped",
    "finished": "Finished",
    "failed": "Failed",
    "interrupted": "Interrupted",
}


def run_label(run: Run) -> str:
    """A line for a menu of runs: its name or what was asked, when, and how it stands unless it is finished."""
    config, status, name = run.config(), run.status(), about(run).name
    state = [] if status.state == "finished" else [STATES[status.state].lower()]
    seeds = getattr(config, "seeds", ())
    seed = f"seeds {', '.join(map(str, seeds))}" if seeds else f"seed {config.seed}"
    asked = [name] if name else [*_facts(config), seed]
    return " · ".join([*asked, when(status.created), *state])


def recovery_label(run: Run) -> str:
    """A fine-tuning in few words, to tell it from another one."""
    config = run.config()
    assert isinstance(config, FinetuneConfig)
    return f"{loss_label(config.loss)} · {when(run.stored_status().created)}"


def kept_words(plan: DepthPlan) -> str:
    """The kept blocks as a person lists them."""
    return " ".join(plan.kept_names)


def when(seconds: float) -> str:
    """A time of day, with the date unless it is today."""
    then = time.localtime(seconds)
    today = then[:3] == time.localtime()[:3]
    return time.strftime("%H:%M:%S" if today else "%d %b %H:%M", then)


def _facts(config: JobConfig) -> list[str]:
    """What tells a run from others of its kind."""
    match config:
        case SearchConfig():
            return [*_other_model(config.model), config.pattern, f"{config.steps:,} steps"]
        case CompareConfig():
            count = len(config.plans) + len(config.methods)
            return [*_other_model(config.model), f"{count} methods", f"{config.steps:,} steps"]
        case FinetuneConfig():
            return [_source(config), loss_label(config.loss), f"{config.steps:,} steps"]
        case SampleConfig():
            return [f"{1 + len(config.against)} models", f"{config.steps} steps"]
        case EvaluateConfig():
            return [*_other_model(config.model or ""), *_scored(config), f"{config.steps} steps"]
        case CostConfig():
            rivals = len(config.against or ("half",)) + len(config.caches)
            return [*_other_model(config.model), f"{1 + rivals} models", f"{_listed(config.step_counts)} steps"]
    return [config.kind]


def _scored(config: EvaluateConfig) -> list[str]:
    """What an evaluation looks at."""
    models = len(config.against) + (config.model is not None or not config.images)
    files = [f"{len(config.images)} files"] if config.images else []
    return [f"{models} models", f"{config.n:,} images each", *files] if models else files


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _other_model(reference: str) -> list[str]:
    """The model, if it is not the one that everybody starts with."""
    return [] if not reference or reference in built_in_models()[:1] else [Path(reference).name or reference]


def _source(config: FinetuneConfig) -> str:
    if config.indices is not None:
        return "blocks " + " ".join(map(str, config.indices))
    try:
        return plan_label(find_plan(config.run or config.plan or ""))
    except (BadRequest, OSError):
        return "a plan that is gone"
