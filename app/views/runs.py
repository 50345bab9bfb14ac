"""What the Runs tab shows: a page of the list, the card of one run, and several runs as one table.

List and card are plain data; the page's script makes HTML of them. Only `tables` of a card is HTML, and escaped.
"""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.access.allowed import TABS_BY_KIND
from app.access.visitors import UNREADABLE, Visitor
from app.views.names import STATES, run_label, when
from app.views.settings import LABELS, setting_words
from tinylab.config import JobConfig, kind_of
from tinylab.paths import runs_folder
from tinylab.pruning.plan import DepthPlan
from tinylab.reports import Column, Row, Table
from tinylab.reports.names import duration
from tinylab.reports.sections import section_of
from tinylab.reports.summary import highlights
from tinylab.reports.table_render import table_html
from tinylab.runs.about import about
from tinylab.runs.command import command_of, own_choices
from tinylab.runs.disk import usage
from tinylab.runs.recordings import is_recording, recordings
from tinylab.runs.run import Run
from tinylab.runs.store import has_words

__all__ = ["MOST", "PAGE", "card", "differing", "listed", "name_of", "side_by_side_table"]

PAGE = 20  # runs on a page of the list
_LONGEST = 300  # characters of a value that is shown
_MOST_TABLES = 4
MOST = 8  # runs beside each other
_NOTHING = "–"
_RESULTS: Mapping[str, str] = {
    "loss_full": "Held-out loss, full model",
    "loss_pruned": "Held-out loss after the cut",
    "loss_finetuned": "Held-out loss, fine-tuned",
    "parameters": "Weights",
    "parameters_full": "Weights of the full model",
}
_CURVES: Mapping[str, str] = {
    "loss": "Last training loss",
    "kernel_distance": "Distance from real digits",
    "read_correctly": "Read correctly",
}


def listed(visitor: Visitor, words: str = "", page: int = 0) -> dict[str, Any]:
    """A page of the runs that have these words, newest first, and the recordings; the last page for one beyond it."""
    found = [run for run in visitor.runs() if _fits(run, words)]
    pages = max(1, -(-len(found) // PAGE))
    page = min(max(0, page), pages - 1)
    recorded = [run for run in recordings() if _fits(run, words)]
    shown = {"rows": _rows(found[page * PAGE : (page + 1) * PAGE]), "recorded": _rows(recorded)}
    return shown | {"count": len(found), "page": page, "pages": pages}


def _rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [row for run in runs if (row := _row(run))]


def _fits(run: Run, words: str) -> bool:
    try:
        return has_words(run, words)
    except UNREADABLE:  # deleted since it was listed
        return False


def _row(run: Run) -> dict[str, Any] | None:
    try:
        status, kind = run.status(), kind_of(run.config())
        return {
            "id": run.id,
            "title": name_of(run),
            "kind": kind.title,
            "state": status.state,
            "word": _word(run, status.state),
            "when": when(status.created),
            "bytes": usage(run).total,
        }
    except UNREADABLE:
        return None


def _word(run: Run, state: str) -> str:
    """How it stands with a run, in a word."""
    return "Recorded" if is_recording(run) else STATES.get(state, state)


def name_of(run: Run) -> str:
    """What somebody has called the run, else what was asked."""
    return about(run).name or run_label(run)


def card(run: Run, visitor: Visitor) -> dict[str, Any]:
    """Everything about one run that its card shows."""
    config, status, said, taken = run.config(), run.status(), about(run), usage(run)
    words, tables = _results(run)
    return {
        "id": run.id,
        "name": said.name,
        "notes": said.notes,
        "title": name_of(run),
        "label": run_label(run),
        "kind": kind_of(config).title,
        "state": status.state,
        "word": _word(run, status.state),
        "message": status.message,
        "when": when(status.created),
        "took": duration(status.seconds) if status.seconds else "",
        "bytes": vars(taken) | {"total": taken.total},
        "own": visitor.may_change(run),
        "busy": status.active or status.state == "queued",
        "opens": config.kind in TABS_BY_KIND,
        "settings": [
            [setting_label(name), setting_text(name, value), type(config).model_fields[name].description or ""]
            for name, value in own_choices(config).items()
        ],
        "figures": [list(pair) for pair in _highlights(run)],
        "words": words,
        "tables": tables,
        "command": command_of(config, called=short_reference),
    }


def _highlights(run: Run) -> Sequence[tuple[str, str]]:
    try:
        return highlights([run])
    except UNREADABLE:
        return []


def _results(run: Run) -> tuple[list[str], str]:
    """What a report says of the run in sentences, and its tables; nothing where what is stored cannot be read."""
    try:
        section = section_of(run)
        tables = "".join(
            f"<h4>{html.escape(table.title)}</h4>{table_html(table)}" for table in section.tables[:_MOST_TABLES]
        )
    except UNREADABLE:
        return [], ""
    return list(section.words), tables


def setting_label(name: str) -> str:
    """What a setting is called, as in the forms where it has a name there."""
    return LABELS.get(name) or name.replace("_", " ").capitalize()


def setting_text(name: str, value: Any) -> str:
    """The value of a setting as a person reads it."""
    if value is None:
        return "–"
    several = value if isinstance(value, tuple) else (value,)
    shown = ", ".join(setting_words(name, short_reference(one) if isinstance(one, str) else one) for one in several)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def short_reference(text: str) -> str:
    """A run of the runs folder by its id, whatever is below it from there on; anything else as it is."""
    try:
        inside = Path(text).relative_to(runs_folder())
    except ValueError:
        return text
    return str(inside) if len(inside.parts) == 1 else text


def differing(configs: Sequence[JobConfig]) -> list[tuple[str, list[str]]]:
    """The settings that several have and that are not the same in all: what each is called, and its values."""
    names = [name for config in configs for name in type(config).model_fields if name != "kind"]
    rows = []
    for name in (name for name, count in Counter(names).items() if count > 1):
        values = [setting_text(name, getattr(config, name)) if hasattr(config, name) else "–" for config in configs]
        if len(set(values)) > 1:
            rows.append((setting_label(name), values))
    return rows


def side_by_side_table(runs: Sequence[Run]) -> Table:
    """A column for each run, a row for each thing that tells them apart, settings first, then results."""
    configs, states = [run.config() for run in runs], [run.status() for run in runs]
    rows = [
        ("Kind", [kind_of(config).title for config in configs]),
        ("State", [STATES.get(status.state, status.state) for status in states]),
        ("Begun", [when(status.created) for status in states]),
        ("Computed for", [duration(status.seconds) for status in states]),
        *differing(configs),
        ("Blocks that stay", [_kept(run) for run in runs]),
        *_numbers(runs),
    ]
    told = [Row((words, *values)) for words, values in rows if set(values) != {_NOTHING}]
    columns = (Column("what", ""), *(Column(f"run_{i}", name_of(run), hint=run.id) for i, run in enumerate(runs)))
    return Table("together", "These runs beside each other", columns, tuple(told))


def _numbers(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Numbers of the results that any of the runs has, and the newest ones of its curves."""
    results, curves = [_read(run.result) for run in runs], [_read(run.metrics().last_scalars) for run in runs]
    plain = {name: name.replace("_", " ").capitalize() for result in results for name in result} | dict(_RESULTS)
    ordered = [*_RESULTS, *(name for name in plain if name not in _RESULTS)]
    rows = [(plain[name], [_number(result.get(name)) for result in results]) for name in ordered]
    return rows + [(words, [_number(curve.get(name)) for curve in curves]) for name, words in _CURVES.items()]


def _read(read: Any) -> dict[str, Any]:
    try:
        return read()
    except UNREADABLE:
        return {}


def _kept(run: Run) -> str:
    try:
        return " ".join(DepthPlan.load(run.plan_path).kept_names) if run.plan_path.is_file() else _NOTHING
    except UNREADABLE:
        return _NOTHING


def _number(value: Any) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
