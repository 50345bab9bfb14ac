"""What a report tells of costs: speed against depth, where the time goes, scores at equal seconds."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from tinylab.config import CostConfig
from tinylab.figures.cost import SpeedPoint, depth_against_speed, equal_seconds, time_shares
from tinylab.reports.names import in_figure, is_share, method_label, model_label, score_metric
from tinylab.reports.reading import number
from tinylab.reports.section import Plot, Section
from tinylab.reports.sections.evaluate import as_score
from tinylab.reports.tables import cost_table, equal_seconds_table, size_table
from tinylab.reports.tables.cost import cost_label, gap_words
from tinylab.runs.run import Run

__all__ = ["cost_section", "speed_points"]


def cost_section(run: Run) -> Section:
    """The section of a cost run, finished or not."""
    config, result = cast(CostConfig, run.config()), run.result()
    if not result.get("rows"):
        return Section("What it costs", (_asked(config), "Nothing is measured yet."))
    plots = [_speed(run)]
    shares = {str(name): float(share) for name, share in (result.get("shares") or {}).items()}
    if shares:
        figure = time_shares(shares, key=run.id, heading="Where the time of the full model goes")
        words = "The parts that the time of a step goes to: what is not blocks, depth cannot save."
        plots.append(Plot(figure, words, wide=True))
    equal = equal_seconds_table(run)
    plots += _equal(run, result) if equal else []
    tables = (cost_table(run), size_table(run), *([equal] if equal else []))
    gaps = tuple(f"{_place(row)}: {words}." for row, words in _gaps(result))
    return Section(
        "What it costs", (_asked(config), _machine(result), *gaps), tuple(plots), tables, data={"result": result}
    )


def speed_points(run: Run) -> dict[str, list[SpeedPoint]]:
    """Every measured model but those that cache, by batch size and number of steps."""
    result = run.result()
    models = result.get("models", [])
    full = sum(int(blocks) for blocks in models[0]["depth"].values()) if models else 1
    groups: dict[str, list[SpeedPoint]] = {}
    for row in result.get("rows", []):
        model = models[int(row["model"])]
        if model.get("cache"):
            continue
        blocks = sum(int(count) for count in model["depth"].values())
        name = f"batch {number(row['batch']):,}, {number(row['steps']):,} steps"
        point = SpeedPoint(in_figure(cost_label(model)), blocks / full, float(row["speedup"]), number(row["expected"]))
        groups.setdefault(name, []).append(point)
    return groups


def _gaps(result: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """For every shallow model what depth could save, and what it did."""
    for row in result["rows"]:
        model = result["models"][int(row["model"])]
        if row["model"] and row["expected"] is not None:
            yield row, gap_words(row, model)


def _place(row: Mapping[str, Any]) -> str:
    return f"Batches of {number(row['batch']):,}, {number(row['steps']):,} steps"


def _speed(run: Run) -> Plot:
    figure = depth_against_speed(speed_points(run), key=run.id, heading="Depth against speed")
    return Plot(
        figure,
        "How much faster models are by the share of blocks that stay: filled as measured, hollow what the measured "
        "shares of time explain, dotted what it were if blocks took all the time.",
    )


def _equal(run: Run, result: Mapping[str, Any]) -> list[Plot]:
    """One picture a score."""
    rows = result["equal_seconds"]["rows"]
    plots = []
    for name in dict.fromkeys(name for row in rows for name in row["scores"]):
        known = score_metric(name)
        scored = {
            in_figure(method_label(str(row["label"]))): (int(row["steps"]), as_score(row["scores"][name]))
            for row in rows
            if name in row["scores"]
        }
        figure = equal_seconds(
            scored,
            key=f"{run.id}-{name}",
            heading=f"{in_figure(known.label)} at equal seconds an image",
            unit=f"{known.label}, {known.better} is better" if known.better else in_figure(known.label),
            better=known.better or None,
            percent=is_share(name),
        )
        plots.append(Plot(figure, f"{known.label} of rivals that were given the same time for an image."))
    return plots


def _machine(result: Mapping[str, Any]) -> str:
    machine, sampling = result["machine"], result["sampling"]
    return (
        f"On {machine['name']} ({machine['device']}, {machine['cores']} cores, {machine['threads']} threads), torch "
        f"{machine['torch']}, {machine['precision']}; sampler {sampling['sampler']}, guidance {sampling['guidance']}."
    )


def _asked(config: CostConfig) -> str:
    rivals = [model_label(name) for name in config.against] or ["the model with every second block"]
    caches = [f"the cache {cache}" for cache in config.caches]
    batches = ", ".join(map(str, config.batch_sizes))
    steps = ", ".join(map(str, config.step_counts))
    return (
        f"Measure what {model_label(config.model)} costs beside {' and '.join([*rivals, *caches])}: batches of "
        f"{batches}, {steps} steps, {config.rounds} rounds, models in turn."
    )
