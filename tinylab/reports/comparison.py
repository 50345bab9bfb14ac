"""The pictures of a comparison: the page that shows one live and the report both take them from here."""

from collections.abc import Mapping
from typing import Any

from tinylab.figures import candidate_scatter, kept_strips, loss_dumbbells
from tinylab.figures.study import loss_distribution
from tinylab.jobs.ground_truth import GroundTruth
from tinylab.pruning.plan import block_names
from tinylab.reports.names import in_figure, method_label
from tinylab.reports.reading import number
from tinylab.reports.tables.comparison import cells_of, shares_kept
from tinylab.runs.run import Run

__all__ = ["comparison_figures"]

_MOST = 3000  # candidates that the scatter shows; of more, every n-th

_Figure = dict[str, Any]
_Row = Mapping[str, Any]


def comparison_figures(run: Run) -> dict[str, _Figure]:
    """By name: `losses` and `strips`, and where there is a study `study` and `distribution`; {} before any row."""
    result = run.result()
    if not result.get("rows"):
        return {}
    rows = {in_figure(method_label(str(row["method"]))): row for row in result["rows"]}
    names, full = block_names(result["full"]["depth"]), float(result["full"]["loss"])
    figures = {
        "losses": loss_dumbbells(
            {label: (float(row["loss_pruned"]), number(row["loss_finetuned"])) for label, row in rows.items()},
            errors={
                label: (number(row.get("loss_pruned_error")), number(row.get("loss_finetuned_error")))
                for label, row in rows.items()
            },
            full=full,
            key=run.id,
            heading="Loss right after the cut, and fine-tuned",
        ),
        "strips": kept_strips(
            {label: shares_kept(row, names) for label, row in rows.items()},
            sum(names.values(), []),
            key=run.id,
            heading="Which blocks each method keeps",
        ),
    }
    truth = GroundTruth.load(run.artifacts) if result.get("study") else None
    if truth is not None:
        figures |= _among_all(truth, rows, full=full, key=run.id)
    return figures


def _among_all(truth: GroundTruth, rows: Mapping[str, _Row], *, full: float, key: str) -> dict[str, _Figure]:
    """Every method among all candidates of the study."""
    figures: dict[str, _Figure] = {}
    cut = {
        label: [loss for cell in cells_of(row) if (loss := number(cell["loss_pruned"])) is not None]
        for label, row in rows.items()
    }
    losses = [row.loss_pruned for row in truth.table.scored if row.loss_pruned is not None]
    figures["distribution"] = loss_distribution(
        losses, cut, full=full, key=key, heading="All choices right after the cut, and those of the methods"
    )
    if truth.finetuned:
        figures["study"] = _scatter(truth, rows, full=full, key=key)
    return figures


def _scatter(truth: GroundTruth, rows: Mapping[str, _Row], *, full: float, key: str) -> _Figure:
    candidates = [(in_figure(" ".join(row.kept)), before, after) for row, before, after in truth.finetuned]
    everything = "Every choice there is" if len(candidates) == len(truth.table) else "Choices out of all there are"
    step = -(-len(candidates) // _MOST)
    chosen = {
        label: sorted({_two(cell["study_losses"]) for cell in cells_of(row) if cell.get("study_losses")})
        for label, row in rows.items()
    }
    return candidate_scatter(
        candidates[::step],
        {label: points for label, points in chosen.items() if points},
        full=full,
        key=key,
        heading=f"{everything}: right after the cut, and fine-tuned",
    )


def _two(losses: Any) -> tuple[float, float]:
    before, after = losses
    return float(before), float(after)
