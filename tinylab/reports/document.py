"""The page of a report: HTML that needs nothing else. All text of runs is escaped."""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinylab import __version__
from tinylab.config import kind_of
from tinylab.figures.page import figure_block, page
from tinylab.reports.names import duration, when
from tinylab.reports.provenance import origin_of
from tinylab.reports.reproduction import Step
from tinylab.reports.section import Picture, Plot, Section
from tinylab.reports.summary import highlights
from tinylab.reports.table import Table
from tinylab.reports.table_render import table_html
from tinylab.runs.run import Run

__all__ = ["Chapter", "document"]


@dataclass(frozen=True)
class Chapter:
    """A section and the run it is about; None where it is about several."""

    run: Run | None
    section: Section

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those of the section."""
        return self.section.tables

    @property
    def anchor(self) -> str:
        """A part of the page's address."""
        name = f"{self.run.config().kind}-{self.run.id}" if self.run else self.section.title
        return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "chapter"


def document(
    title: str,
    chapters: Sequence[Chapter],
    steps: Sequence[Step],
    about: Sequence[Table],
    *,
    csv: str,
    json: str,
    baseline: str | None,
) -> str:
    """The whole page.

    Args:
        about: tables about the runs themselves.
        csv, json: what the links at the top hand out.
        baseline: see `build_report`.
    """
    anchors = _anchors(chapters)
    body = [
        _header(title, chapters, csv, json),
        _contents(chapters, anchors),
        *(_chapter(chapter, anchor, baseline) for chapter, anchor in zip(chapters, anchors, strict=True)),
        _reproduction(steps),
        _about(about),
    ]
    draws = any(chapter.section.plots for chapter in chapters)
    style, script = (
        Path(__file__).with_name(f"report.{ending}").read_text(encoding="utf-8") for ending in ("css", "js")
    )
    return page(title, f'<div class="page">{"".join(body)}</div>', style=style, script=script, draws=draws)


def _anchors(chapters: Sequence[Chapter]) -> list[str]:
    """One for each chapter, all different."""
    anchors: list[str] = []
    for chapter in chapters:
        same = sum(chapter.anchor == other.anchor for other in chapters[: len(anchors)])
        anchors.append(f"{chapter.anchor}-{same + 1}" if same else chapter.anchor)
    return anchors


def _header(title: str, chapters: Sequence[Chapter], csv: str, json: str) -> str:
    runs = [chapter.run for chapter in chapters if chapter.run]
    figures = "".join(
        f"<li><b>{html.escape(value)}</b><span>{html.escape(words)}</span></li>" for value, words in highlights(runs)
    )
    asked = "".join(f"<p>{html.escape(_asked(chapter))}</p>" for chapter in chapters[:1])
    count = f"{len(runs)} run{'s' if len(runs) != 1 else ''}"
    made = when(max(run.stored_status().heartbeat or run.stored_status().created for run in runs))
    return (
        '<header><div class="mark"><span aria-hidden="true"><i></i><i></i><i></i><i></i></span>Tinylab report</div>'
        f"<h1>{html.escape(title)}</h1>{asked}"
        f'<ul class="high">{figures}</ul><p class="quiet">{count}, the last of {made}; Tinylab {__version__}.</p>'
        f'<div class="files">{_file("report.csv", "text/csv", csv, "All tables, CSV")}'
        f"{_file('report.json', 'application/json', json, 'All numbers, JSON')}"
        '<button type="button" data-print>Print</button></div></header>'
    )


def _asked(chapter: Chapter) -> str:
    return chapter.section.words[0] if chapter.section.words else chapter.section.title


def _file(name: str, kind: str, text: str, label: str, classes: str = "") -> str:
    """A link that hands out a file which lies in the page itself."""
    data = base64.b64encode(text.encode()).decode()
    look = f' class="{classes}"' if classes else ""
    place = f"data:{kind};charset=utf-8;base64,{data}"
    return f'<a{look} download="{html.escape(name)}" href="{place}">{html.escape(label)}</a>'


def _contents(chapters: Sequence[Chapter], anchors: Sequence[str]) -> str:
    links = [(anchor, _title(chapter)) for chapter, anchor in zip(chapters, anchors, strict=True)]
    links += [("reproduce", "How to make it again"), ("about", "Runs and versions")]
    items = "".join(f'<li><a href="#{anchor}">{html.escape(words)}</a></li>' for anchor, words in links)
    return f'<nav aria-label="Contents"><ol>{items}</ol></nav>'


def _title(chapter: Chapter) -> str:
    """The section's title, with the run where several have the same."""
    return f"{chapter.section.title} ({chapter.run.id})" if chapter.run else chapter.section.title


def _heading(anchor: str, title: str) -> str:
    return f'<h2 id="{anchor}"><a href="#{anchor}">{html.escape(title)}</a></h2>'


def _chapter(chapter: Chapter, anchor: str, baseline: str | None) -> str:
    section = chapter.section
    words = "".join(f"<p>{html.escape(line)}</p>" for line in section.words)
    wide = _wide(section.plots)
    plots = "".join(_plot(plot, f"{anchor}-{i + 1}", wide=wide[i]) for i, plot in enumerate(section.plots))
    pictures = "".join(_picture(picture) for picture in section.pictures)
    look = "pictures" if section.beside else "film"
    head = (
        ""
        if section.beside or not pictures
        else '<div class="over"><h3>Samples from the same noise, on the way</h3></div>'
    )
    return (
        f"<section>{_heading(anchor, section.title)}{_run_line(chapter.run)}{words}"
        + "".join(_table(table, baseline) for table in section.tables[:1])
        + (f'<div class="plots">{plots}</div>' if plots else "")
        + (f'{head}<div class="{look}">{pictures}</div>' if pictures else "")
        + "".join(_table(table, baseline) for table in section.tables[1:])
        + "</section>"
    )


def _run_line(run: Run | None) -> str:
    """Which run it is, how it stands, and a remark where it is not finished."""
    if run is None:
        return ""
    status, config = run.status(), run.config()
    commit = str(origin_of(run).get("git") or "")[:12]
    facts = [kind_of(config).title, when(status.created), f"computed for {duration(status.seconds)}"]
    facts += [f"commit {commit}"] if commit else []
    line = (
        f'<div class="run"><span class="state {status.state}">{status.state}</span><code>{html.escape(run.id)}</code>'
        f"<span>{html.escape(' · '.join(facts))}</span></div>"
    )
    if status.state == "finished":
        return line
    said = f" ({' '.join(status.message.split())})" if status.message else ""
    done = f"step {status.step:,} of {status.steps:,}" if status.steps else "before its first step"
    words = f"This run is not finished: it is {status.state} at {done}{said}. What follows is what it has so far."
    return f'{line}<p class="unfinished">{html.escape(words)}</p>'


def _wide(plots: Sequence[Plot]) -> list[bool]:
    """Which plots go across the page: those that ask for it, and one that would stand in a row alone."""
    wide: list[bool] = []
    beside = 0  # plots in the row so far
    for place, plot in enumerate(plots):
        last = place + 1 == len(plots) or plots[place + 1].wide
        alone = not plot.wide and beside == 0 and last
        wide.append(plot.wide or alone)
        beside = 0 if wide[-1] else 1 - beside
    return wide


def _plot(plot: Plot, name: str, *, wide: bool) -> str:
    look = ' class="wide"' if wide else ""
    figure, heading = _untitled(plot.figure)
    block = figure_block(figure, name, words=plot.words)
    caption = f"<figcaption>{html.escape(plot.words)}</figcaption>"
    return f"<figure{look}><h4>{html.escape(heading)}</h4>{block}{caption}</figure>"


def _untitled(figure: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The figure without its heading, and that as text: in the page it can take two lines on a phone."""
    layout = dict(figure["layout"])
    heading = html.unescape(layout.pop("title", {}).get("text", ""))
    top = layout["margin"]["t"]
    legend = layout.get("showlegend", len(figure["data"]) > 1)
    less = 28 if not legend else 0  # a legend may need the room: on a phone it has more lines
    layout["margin"] = {**layout["margin"], "t": max(14, top - less)}
    return {**figure, "layout": {**layout, "height": layout["height"] + layout["margin"]["t"] - top}}, heading


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode()
    return (
        f'<figure><img alt="{html.escape(picture.words)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(picture.caption)}</figcaption></figure>"
    )


def _table(table: Table, baseline: str | None) -> str:
    pinned = baseline if baseline in table.labels else None
    link = _file(f"{table.key}.csv", "text/csv", table.to_csv(), "CSV", "small")
    return f'<div class="over"><h3>{html.escape(table.title)}</h3>{link}</div>{table_html(table, pinned)}'


def _reproduction(steps: Sequence[Step]) -> str:
    """The commands in order."""
    commits = list(dict.fromkeys(str(c) for step in steps if (c := origin_of(step.run).get("git"))))
    words = "In a clone of the repository"
    if len(commits) == 1:
        words += f" at commit {commits[0][:40]}"
    elif commits:
        words += f" (the runs are of several commits: {', '.join(commit[:12] for commit in commits)})"
    words += (
        ", with the packages of requirements.txt, these commands make the same runs; on a CPU with the same versions "
        "and threads also the same numbers, but for times. What a later command names by a run, an earlier one made."
    )
    items = "".join(
        f'<li><pre id="command-{i}">{html.escape(step.command)}</pre>'
        f'<button type="button" class="small" data-copy="command-{i}">Copy</button></li>'
        for i, step in enumerate(steps)
    )
    head = _heading("reproduce", "How to make it again")
    return f'<section>{head}<p>{html.escape(words)}</p><ol class="commands">{items}</ol></section>'


def _about(about: Sequence[Table]) -> str:
    tables = "".join(_table(table, None) for table in about)
    return f"<section>{_heading('about', 'Runs and versions')}{tables}</section>"
