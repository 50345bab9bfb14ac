"""What runs, methods and models are called on the page. Nothing here is escaped yet."""

from __future__ import annotations

import time
from pathlib import Path

from app.views.settings import loss_label
from tinylab.config import CompareConfig, FinetuneConfig, JobConfig, SampleConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.models.catalog import built_in_models, locate_model
from tinylab.pruning.criteria import CRITERIA
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.record import Run
from tinylab.runs.store import find_plan

__all__ = [
    "STATES",
    "kept_words",
    "method_label",
    "model_label",
    "plan_label",
    "recovery_label",
    "run_label",
    "when",
]

STATES = {
    "created": "Waiting",
    "starting": "Starting",
    "running": "Running",
    "stopped": "Stopped",
    "finished": "Finished",
    "failed": "Failed",
    "interrupted": "Interrupted",
}


def method_label(name: str) -> str:
    """A method as the registry labels it, or Learned for a search; "learned (…)" keeps what tells it from others."""
    if name.startswith("learned:"):
        return "Learned " + name.partition(":")[2]
    if name.split(" ")[0] == "learned":
        return name.replace("learned", "Learned", 1) if " " in name else "Learned (TinyFusion)"
    return CRITERIA.entry(name).label if name in CRITERIA.names() else name


def run_label(run: Run) -> str:
    """A line for a menu of runs: what was asked, when, and how it stands unless it is finished."""
    config, status = run.config(), run.status()
    state = [] if status.state == "finished" else [STATES[status.state].lower()]
    seeds = getattr(config, "seeds", ())
    seed = f"seeds {', '.join(map(str, seeds))}" if seeds else f"seed {config.seed}"
    return " · ".join([*_facts(config), seed, when(status.created), *state])


def recovery_label(run: Run) -> str:
    """A fine-tuning in few words, to tell it from another one."""
    config = run.config()
    assert isinstance(config, FinetuneConfig)
    return f"{loss_label(config.loss)} · {when(run.stored_status().created)}"


def plan_label(plan: DepthPlan) -> str:
    """How the blocks were chosen, in short."""
    if plan.method == "learned" and plan.details.get("pattern"):
        return f"Learned {plan.details['pattern']}"
    return method_label(plan.method)


def kept_words(plan: DepthPlan) -> str:
    """The kept blocks as a person lists them."""
    return " ".join(plan.kept_names)


def model_label(reference: str) -> str:
    """What a model is: its built-in name, or how it was cut and whether it recovered."""
    if reference in built_in_models():
        return reference
    try:
        folder = locate_model(reference)
        home = next(place for place in (folder, *folder.parents[:3]) if (place / "status.json").is_file())
        plan = DepthPlan.load((folder if (folder / "plan.json").is_file() else home) / "plan.json")
        config = Run.open(home).config()
    except (BadRequest, OSError, StopIteration):
        return Path(reference).name or reference
    steps = config.steps if isinstance(config, FinetuneConfig | CompareConfig) else 0
    return f"{plan_label(plan)}, " + (f"fine-tuned {steps:,} steps" if steps else "cut only")


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
    return [config.kind]


def _other_model(reference: str) -> list[str]:
    """The model, if it is not the one that everybody starts with."""
    return [] if reference in built_in_models()[:1] else [Path(reference).name or reference]


def _source(config: FinetuneConfig) -> str:
    if config.indices is not None:
        return "blocks " + " ".join(map(str, config.indices))
    try:
        return plan_label(find_plan(config.run or config.plan or ""))
    except (BadRequest, OSError):
        return "a plan that is gone"
