"""The table of scores: a separate column for every setting, so that no two that cannot be compared stand together."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tinylab.metrics.fidelity import settings
from tinylab.reports.names import is_share, score_metric
from tinylab.reports.reading import number
from tinylab.reports.table import Column, Error, Row, Table, Value

__all__ = ["FLOOR", "score_column", "score_columns", "score_table"]

FLOOR = "Real against real"
_BETWEEN = " · "  # of the parts of a column's title

_FACTS = (
    Column("model", "Model"),
    Column("blocks", "Blocks", format="d"),
    Column("parameters", "Weights", format=",d", against="ratio"),
)


def score_columns(results: Sequence[Mapping[str, Any]]) -> list[tuple[settings.Column, str]]:
    """The scores in results of evaluations, one entry a score and setting, with the short name that suffices here."""
    found = settings.columns(results)
    shared = _shared([column.title for column in found])
    short = [[part for part in column.title.split(_BETWEEN)[1:] if part not in shared] for column in found]
    return [(column, _BETWEEN.join([_label(column), *parts])) for column, parts in zip(found, short, strict=True)]


def score_column(name: str, label: str = "", hint: str = "") -> Column:
    """The column of a score; `label` where the plain name would say too little, `hint` for the whole setting."""
    known = score_metric(name)
    better = cast(Any, known.better or None)
    form = ".1%" if is_share(name) else ".4g"
    full = f"{name}{_BETWEEN}{hint.partition(_BETWEEN)[2]}" if hint else name
    return Column(full, label or known.label, format=form, better=better, hint=hint)


def score_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """Scores of all models in the results of evaluate runs, one row a model, and what real data scores itself, aside.

    Times stand in the table of costs alone, where models take turns and nothing but drawing is measured.

    Every score with another setting (extractor, reference, sample count, sampler, steps, guidance, seed, …) has a
    column of its own. In CSV and JSON a column is named by its whole setting; for people the note tells what is the
    same of all columns, and their titles what is not.
    """
    found = score_columns(results)
    rows = _rows(results, [column for column, _ in found])
    floor = [column.floor for column, _ in found]
    if any(floor):
        rows.append(_row({}, FLOOR, floor, aside=True))
    columns = (*_FACTS, *(score_column(column.metric, label, column.title) for column, label in found))
    return Table("scores", "Scores", columns, tuple(rows), _note([column for column, _ in found]))


def _label(column: settings.Column) -> str:
    return score_metric(column.metric).label


def _shared(titles: Sequence[str]) -> list[str]:
    """The parts that all titles have, in their order."""
    parts = [title.split(_BETWEEN)[1:] for title in titles]
    return [part for part in parts[0] if all(part in other for other in parts)] if parts else []


def _rows(results: Sequence[Mapping[str, Any]], found: Sequence[settings.Column]) -> list[Row]:
    """One row a label, with what is known of the model behind it."""
    given = [row for result in results for row in result.get("rows", ())]
    places = {id(entry): place for place, row in enumerate(given) for entry in row["scores"].values()}
    first: dict[str, int] = {}
    for column in found:
        for label, entry in column.cells.items():
            first[label] = min(places[id(entry)], first.get(label, len(given)))
    facts = {label: given[place] for label, place in first.items()}
    labels = sorted(first, key=lambda label: first[label])
    return [_row(facts[label], label, [column.cells.get(label) for column in found]) for label in labels]


def _row(facts: Mapping[str, Any], label: str, entries: Sequence[Mapping[str, Any] | None], aside: bool = False) -> Row:
    depth = facts.get("depth")
    values: list[Value] = [
        label,
        sum(int(blocks) for blocks in depth.values()) if depth else None,
        number(facts.get("parameters")),
        *(number((entry or {}).get("value")) for entry in entries),
    ]
    errors: list[Error] = [None] * len(_FACTS)
    errors += [(number((entry or {}).get("low")), number((entry or {}).get("high"))) for entry in entries]
    return Row(tuple(values), tuple(errors), aside=aside)


def _note(found: Sequence[settings.Column]) -> str:
    """What all columns have in common, and what cannot be read off them."""
    shared = _shared([column.title for column in found])
    words = f"All: {', '.join(shared)}. " if shared else ""
    biased = {
        _label(column): None
        for column in found
        if any(entry.get("biased") for entry in column.cells.values())  # in the order of the columns
    }
    if biased:
        words += f"{', '.join(biased)}: biased by the number of samples, so only equally many can be compared. "
    sizes = {tuple(column.floor_images) for column in found if column.floor_images}
    for size in sizes:
        words += f"{FLOOR}: two halves of the real data, {' and '.join(f'{count:,}' for count in size)} images. "
    return words.strip()
