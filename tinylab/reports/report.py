"""From runs to a report: one page, and its numbers as CSV and JSON."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tinylab import __version__
from tinylab.errors import BadRequest
from tinylab.figures.cost import SpeedPoint, depth_against_speed
from tinylab.reports.document import Chapter, document
from tinylab.reports.names import in_figure
from tinylab.reports.provenance import origin_of, runs_table, versions_table
from tinylab.reports.reproduction import Step, shared, steps_to
from tinylab.reports.section import Plot, Section
from tinylab.reports.sections import section_of
from tinylab.reports.sections.cost import speed_points
from tinylab.reports.sections.evaluate import score_plots
from tinylab.reports.summary import headline
from tinylab.reports.table import Table, stacked_csv
from tinylab.reports.tables import score_table
from tinylab.runs.run import Run

__all__ = ["Report", "build_report"]


@dataclass(frozen=True)
class Report:
    """A report in its three forms."""

    title: str
    html: str
    csv: str
    json: str


def build_report(
    runs: Sequence[Run],
    *,
    title: str | None = None,
    baseline: str | None = None,
    progress: Callable[[int, str], None] = lambda number, name: None,
) -> Report:
    """Everything there is to tell of `runs`, in their order.

    Args:
        progress: is told the number and the name of each run that comes next.
        baseline: the row that every table which has it pins, and sets the others against.

    Raises:
        BadRequest: no run, no row called `baseline`, or a run is damaged.
    """
    if not runs:
        raise BadRequest("no run given; `tinylab runs` lists the runs there are")
    chapters = []
    for number, run in enumerate(runs, start=1):
        progress(number, run.id)
        chapters.append(Chapter(run, section_of(run)))
    chapters += [Chapter(None, section) for section in _together(runs)]
    _check_baseline(chapters, baseline)
    steps = steps_to(runs)
    about = (runs_table(runs), versions_table(runs))
    named = [(chapter, replace(table, key=_key(chapter, table))) for chapter in chapters for table in chapter.tables]
    csv = stacked_csv([*(table for _, table in named), *about])
    heading = title or headline(runs)
    text = json.dumps(_json(heading, chapters, steps, about), allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    html = document(heading, chapters, steps, about, csv=csv, json=text, baseline=baseline)
    return Report(heading, html, csv, text)


def _key(chapter: Chapter, table: Table) -> str:
    """What a table is called among those of all runs."""
    return f"{chapter.run.id}/{table.key}" if chapter.run else table.key


def _together(runs: Sequence[Run]) -> list[Section]:
    """What several runs of one kind say together that none says alone."""
    scored = [run for run in runs if run.config().kind == "evaluate" and run.result().get("rows")]
    measured = [run for run in runs if run.config().kind == "cost" and run.result().get("rows")]
    sections = []
    if len(scored) > 1:
        words = "Two scores stand in one column, or one picture, only where nothing of their settings differs."
        plots = tuple(score_plots([run.result() for run in scored]))
        sections.append(Section("All scores", (words,), plots, (score_table([run.result() for run in scored]),)))
    if len(measured) > 1:
        figure = depth_against_speed(_all_points(measured), key="all", heading="Depth against speed, all runs")
        plot = Plot(figure, "Speed-up by the share of blocks that stay, of all runs of costs.", wide=True)
        sections.append(Section("Depth against speed", ("All runs of costs in one picture.",), (plot,)))
    return sections


def _all_points(runs: Sequence[Run]) -> dict[str, list[SpeedPoint]]:
    return {f"{in_figure(run.id)}: {name}": points for run in runs for name, points in speed_points(run).items()}


def _check_baseline(chapters: Sequence[Chapter], baseline: str | None) -> None:
    labels = list(dict.fromkeys(label for chapter in chapters for table in chapter.tables for label in table.labels))
    if baseline is not None and baseline not in labels:
        raise BadRequest(f"no row is called {baseline!r}; --baseline takes one of: {', '.join(labels[:40]) or 'none'}")


def _json(title: str, chapters: Sequence[Chapter], steps: Sequence[Step], about: Sequence[Table]) -> dict[str, Any]:
    """Every number of every table, the curves, the mask films, and what was asked."""
    return _plain(
        {
            "title": title,
            "tinylab": __version__,
            "commands": [step.command for step in steps],
            "chapters": [_chapter_json(chapter) for chapter in chapters],
            "about": [table.to_json() for table in about],
        }
    )


def _chapter_json(chapter: Chapter) -> dict[str, Any]:
    run, section = chapter.run, chapter.section
    facts: dict[str, Any] = {}
    if run is not None:
        status = run.status()
        facts = {"run": run.id, "kind": run.config().kind, "state": status.state, "seconds": status.seconds}
        facts |= {"config": json.loads(run.config().to_json()), "origin": origin_of(run)}
    tables = [{**table.to_json(), "key": _key(chapter, table)} for table in section.tables]
    return {**facts, "title": section.title, "words": section.words, "tables": tables, "data": section.data}


def _plain(value: Any) -> Any:
    """The same value as JSON can hold it and as others can read it: numbers that are none as text, nan or inf; no
    places of this machine."""
    if isinstance(value, str):
        return shared(value)
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
