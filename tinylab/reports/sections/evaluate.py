"""What a report tells of an evaluation: every score with its interval, the floor, and the samples."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tinylab.config import EvaluateConfig
from tinylab.figures.scores import Score, score_bars
from tinylab.reports.names import in_figure, is_share, model_label, score_metric
from tinylab.reports.reading import number
from tinylab.reports.section import Picture, Plot, Section, artifact_png
from tinylab.reports.tables import score_table
from tinylab.reports.tables.scores import score_columns
from tinylab.runs.run import Run

__all__ = ["as_score", "evaluate_section", "score_plots"]


def evaluate_section(run: Run) -> Section:
    """The section of an evaluation, finished or not."""
    config = cast(EvaluateConfig, run.config())
    result = run.result()
    if not result.get("rows"):
        return Section("Scores of samples", (_asked(config), "It has scored nothing yet."))
    words = [_asked(config), _reference(result), *(f"Note: {line}" for line in result.get("warnings", ()))]
    pictures = []
    for row in result["rows"]:
        png, label = artifact_png(run.artifacts, str(row["png"])), str(row["label"])
        if png is not None:
            pictures.append(Picture(png, label, f"a grid of samples of {label}"))
    data = {"rows": result["rows"], "floor": result.get("floor"), "reference": result["reference"]}
    return Section(
        "Scores of samples",
        tuple(words),
        tuple(score_plots([result])),
        (score_table([run.result()]),),
        tuple(pictures),
        data={**data, "extractor": result["extractor"]},
    )


def score_plots(results: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """One picture for each score and setting: bars with intervals, the floor dotted."""
    plots = []
    for column, label in score_columns(results):
        known = score_metric(column.metric)
        figure = score_bars(
            {in_figure(name): as_score(entry) for name, entry in column.cells.items()},
            key=column.title,
            heading=in_figure(label),
            unit=f"{known.label}, {known.better} is better" if known.better else known.label,
            floor=as_score(column.floor) if column.floor else None,
            better=known.better or None,
            percent=is_share(column.metric),
        )
        told = "; dotted, real data against real data" if column.floor else ""
        plots.append(Plot(figure, f"{column.title}: bars with their intervals{told}."))
    return plots


def as_score(entry: Mapping[str, Any]) -> Score:
    """A score as a result holds it."""
    value = number(entry["value"])
    return Score(float("nan") if value is None else value, number(entry.get("low")), number(entry.get("high")))


def _reference(result: Mapping[str, Any]) -> str:
    reference, extractor = result["reference"], result["extractor"]
    return (
        f"Real data: {reference['name']}, {number(reference['images']):,} images (hash {reference['hash']}). Features: "
        f"{extractor['name']}, {number(extractor['features']):,} a picture (hash {extractor['hash']})."
    )


def _asked(config: EvaluateConfig) -> str:
    models = (config.model or ("" if config.images else "digits-dit"), *config.against)
    names = " and ".join([*(model_label(name) for name in models if name), *map(str, config.images)])
    return (
        f"Score samples of {names} against real data: {config.n:,} samples of each model, {config.steps} steps, "
        f"guidance {config.guidance:g}, seed {config.seed}, all from equal noise."
    )
