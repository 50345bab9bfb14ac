"""What methods, models, scores and times are called in a report. Nothing here is escaped, but for `in_figure`."""

import html
import time
from pathlib import Path

from tinylab.config import CompareConfig, FinetuneConfig
from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.names import METRICS, Metric
from tinylab.models.catalog import built_in_models, locate_model
from tinylab.pruning.criteria import CRITERIA
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.recordings import recording
from tinylab.runs.run import Run

__all__ = [
    "duration",
    "in_figure",
    "is_share",
    "method_label",
    "model_label",
    "plan_label",
    "score_metric",
    "when",
]

_LONGEST = 60  # characters of a name in a picture

_SHARES = ("precision", "recall", "accuracy")  # scores that people read as percentages


def score_metric(name: str) -> Metric:
    """What is known of a score; one that is not known is called as it is."""
    return METRICS.get(name, Metric(name, name, "", False, ""))


def is_share(name: str) -> bool:
    """Whether a score is a share, to be shown as a percentage."""
    return name in _SHARES


def method_label(name: str) -> str:
    """A method as the registry labels it, or Learned for a search; "learned (…)" keeps what tells it from others."""
    if name.startswith("learned:"):
        return "Learned " + name.partition(":")[2]
    if name.split(" ")[0] == "learned":
        return name.replace("learned", "Learned", 1) if " " in name else "Learned (TinyFusion)"
    return CRITERIA.entry(name).label if name in CRITERIA.names() else name


def plan_label(plan: DepthPlan) -> str:
    """How the blocks were chosen, in short."""
    if plan.method == "learned" and plan.details.get("pattern"):
        return f"Learned {plan.details['pattern']}"
    return method_label(plan.method)


def model_label(reference: str) -> str:
    """What a model is: its built-in name, or how it was cut and whether it recovered. Its weights need not be there."""
    if reference in built_in_models():
        return reference
    try:
        folder = _folder(reference)
        home = next(place for place in (folder, *folder.parents[:3]) if (place / "status.json").is_file())
        plan = DepthPlan.load((folder if (folder / "plan.json").is_file() else home) / "plan.json")
        config = Run.open(home).config()
    except (BadRequest, OSError, StopIteration):
        return Path(reference).name or reference
    if not isinstance(config, FinetuneConfig | CompareConfig) or not config.steps:
        return f"{plan_label(plan)}, cut only"
    loss = config.loss if isinstance(config, FinetuneConfig) else "diffusion"
    return f"{plan_label(plan)}, fine-tuned {config.steps:,} steps" + (f" by {loss}" if loss != "diffusion" else "")


def _folder(reference: str) -> Path:
    """Where what is known of a model lies; recordings have all but the model itself."""
    recorded = recording(reference)
    return recorded.path if recorded else locate_model(reference, fetches=False)


def in_figure(name: str) -> str:
    """A name as figures take it: they read some HTML, which a stranger's name must not bring along."""
    shown = " ".join(name.split())
    return html.escape(shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…", quote=False)


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def when(seconds: float) -> str:
    """A moment, in the time of this machine."""
    return time.strftime("%d %B %Y, %H:%M", time.localtime(seconds))
