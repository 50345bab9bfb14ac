"""What a report tells of recipes of recovery, side by side."""

from typing import cast

from tinylab.config import RecipesConfig
from tinylab.figures.scores import Score, score_bars
from tinylab.files.json_file import read_object
from tinylab.pruning.plan import DepthPlan
from tinylab.reports.names import in_figure, model_label
from tinylab.reports.section import Plot, Section
from tinylab.reports.sections.prune import kept_plot
from tinylab.reports.table import Row, Table
from tinylab.reports.tables import recipes_table
from tinylab.runs.run import Run

__all__ = ["recipes_section"]

_CELLS = "cells.json"  # what is done, among the artifacts of the job


def recipes_section(run: Run) -> Section:
    """The section of a comparison of recipes; rows are those that are done."""
    config = cast(RecipesConfig, run.config())
    plan = DepthPlan.load(run.plan_path) if run.plan_path.is_file() else None
    table = recipes_table(run)
    words = [_asked(config, plan)]
    if not table.rows:
        return Section("Recipes of recovery", (*words, "No recipe is done yet."))
    plots = [*([kept_plot(plan, run.id)] if plan else []), *_bars(run, table)]
    cells = (read_object(run.artifacts / _CELLS) or {}).get("cells", [])
    return Section("Recipes of recovery", tuple(words), tuple(plots), (table.sorted_by("loss"),), data={"cells": cells})


def _asked(config: RecipesConfig, plan: DepthPlan | None) -> str:
    what = f"{model_label(plan.model)}, cut to {plan.total} blocks," if plan else "one cut model"
    return (
        f"Recover {what} by {len(config.recipes)} recipes on equal batches: {config.steps:,} steps of "
        f"{config.batch_size} images, learning rate {config.lr:g}, seeds {', '.join(map(str, config.seeds))}."
    )


def _bars(run: Run, table: Table) -> list[Plot]:
    """What the recipes gain on the first, which is where they differ: losses are all much alike."""
    place = table.index("difference")
    scores = {in_figure(str(row.values[0])): _score(row, place) for row in table.rows if _is_number(row.values[place])}
    if len(scores) < 2:
        return []
    figure = score_bars(
        scores,
        key=run.id,
        heading="Loss against that of the first recipe",
        unit="difference of held-out losses",
        better="lower",
    )
    return [Plot(figure, "Differences of the losses, seed by seed, with standard errors: further left is better.")]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _score(row: Row, place: int) -> Score:
    value, error = row.values[place], row.error(place)
    assert isinstance(value, int | float)
    if not isinstance(error, int | float) or not error:
        return Score(value)
    return Score(value, value - error, value + error)
