"""One chapter of a report for each kind of run, as the row of the kind names it."""

from tinylab.config import kind_of
from tinylab.registry import load
from tinylab.reports.reading import as_result
from tinylab.reports.section import Section
from tinylab.runs.run import Run

__all__ = ["section_of"]


def section_of(run: Run) -> Section:
    """What a report tells of this run.

    Raises:
        BadRequest: what it has stored is damaged.
    """
    with as_result(run):
        return load(kind_of(run.config()).section)(run)
