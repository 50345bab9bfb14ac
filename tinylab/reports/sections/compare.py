"""What a report tells of a comparison of methods."""

from typing import cast

from tinylab.config import CompareConfig
from tinylab.reports.comparison import comparison_figures
from tinylab.reports.names import method_label, model_label
from tinylab.reports.section import Plot, Section
from tinylab.reports.tables import comparison_table
from tinylab.runs.run import Run

__all__ = ["compare_section"]

_WORDS = {
    "losses": "Loss before against after fine-tuning: one row a method, the dotted line is the full model.",
    "distribution": "Where the methods lie among all choices there are, by the loss right after the cut.",
    "study": "Every fine-tuned choice of the study, before against after; the methods in colour.",
    "strips": "The blocks that each method keeps, filled; half filled where seeds differ.",
}


def compare_section(run: Run) -> Section:
    """The section of a comparison; rows are those that are done."""
    config = cast(CompareConfig, run.config())
    table, figures = comparison_table(run), comparison_figures(run)
    if not table.rows:
        return Section("Methods side by side", (_asked(config), "No method is done yet."))
    plots = tuple(Plot(figures[name], words) for name, words in _WORDS.items() if name in figures)
    final = [value for value in table.column("loss_finetuned") if value is not None]
    table = table.sorted_by("loss_finetuned" if final else "loss_pruned")
    cells = {str(row["method"]): row.get("cells", []) for row in run.result()["rows"]}
    data = {"cells": cells, "full": run.result()["full"]}
    return Section("Methods side by side", (_asked(config),), plots, (table,), data=data)


def _asked(config: CompareConfig) -> str:
    plans = len(config.plans)
    given = [f"{plans} finished plan{'s' if plans > 1 else ''}"] if plans else []
    names = ", ".join([*given, *(method_label(method) for method in config.methods)])
    seeds = config.seeds or (config.seed,)
    several = f"seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    how = (
        f"fine-tune each alike ({config.steps:,} steps of {config.batch_size} images, learning rate {config.lr:g})"
        if config.steps
        else "fine-tune none"
    )
    keep = f"to {config.keep} blocks " if config.keep else ""
    return f"Cut {model_label(config.model)} {keep}by {names}; {how}; {several}."
