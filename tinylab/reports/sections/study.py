"""What a report tells of a study of all choices."""

import math
from typing import Any, cast

from tinylab.config import StudyConfig
from tinylab.figures import candidate_scatter
from tinylab.figures.study import loss_distribution
from tinylab.jobs.ground_truth import CANDIDATES
from tinylab.pruning.exhaustive import CandidateTable
from tinylab.reports.names import in_figure, model_label
from tinylab.reports.reading import number
from tinylab.reports.section import Plot, Section
from tinylab.reports.tables import candidates_table
from tinylab.runs.run import Run

__all__ = ["study_section"]


def study_section(run: Run) -> Section:
    """The section of a study, with as many losses as there are."""
    config = cast(StudyConfig, run.config())
    path = run.artifacts / CANDIDATES
    table = CandidateTable.load(path) if path.is_file() else CandidateTable([])
    words, result = [_asked(config)], run.result()
    if not table.scored:
        return Section("Every choice there is", (*words, "No loss is known yet."))
    words.append(f"{len(table):,} choices, {len(table.scored):,} scored, {len(table.finetuned):,} fine-tuned.")
    correlation = number(result.get("rank_correlation"))
    if correlation is not None and math.isfinite(correlation):
        words.append(
            f"How well the loss before foretells the loss after: Spearman's rank correlation is {correlation:.2f}."
        )
    plots = _plots(run, table, number(result.get("loss_full")))
    rows = [{"kept": list(c.kept), "before": c.loss_pruned, "after": c.loss_finetuned} for c in table.rows]
    data: dict[str, Any] = {"candidates": rows, "result": result}
    return Section("Every choice there is", tuple(words), tuple(plots), (candidates_table(run),), data=data)


def _plots(run: Run, table: CandidateTable, full: float | None) -> list[Plot]:
    losses = [row.loss_pruned for row in table.scored if row.loss_pruned is not None]
    heading = "All choices right after the cut"
    plots = [
        Plot(
            loss_distribution(losses, {}, full=full, key=run.id, heading=heading),
            "How the losses of all choices right after the cut are distributed.",
        )
    ]
    both = [
        (in_figure(" ".join(row.kept)), row.loss_pruned, row.loss_finetuned)
        for row in table.finetuned
        if row.loss_pruned is not None and row.loss_finetuned is not None
    ]
    if both and full is not None:
        figure = candidate_scatter(both, {}, full=full, key=run.id, heading="Right after the cut, and fine-tuned")
        plots.append(Plot(figure, "Loss before against after fine-tuning, one dot a choice."))
    return plots


def _asked(config: StudyConfig) -> str:
    keep = f"{config.keep} of its blocks" if config.keep else "half of its blocks"
    return (
        f"Score every way to keep {keep} of {model_label(config.model)}, right after the cut and after "
        f"{config.steps:,} steps of {config.batch_size} images, learning rate {config.lr:g}, seed {config.seed}."
    )
