"""One chapter of a report for each kind of run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tinylab.reports.reading import as_result
from tinylab.reports.section import Section
from tinylab.reports.sections.compare import compare_section
from tinylab.reports.sections.cost import cost_section
from tinylab.reports.sections.evaluate import evaluate_section
from tinylab.reports.sections.finetune import finetune_section
from tinylab.reports.sections.plain import plain_section
from tinylab.reports.sections.prune import prune_section
from tinylab.reports.sections.recipes import recipes_section
from tinylab.reports.sections.sample import sample_section
from tinylab.reports.sections.search import search_section
from tinylab.reports.sections.study import study_section
from tinylab.runs.run import Run

__all__ = ["SECTIONS", "section_of"]

SECTIONS: Mapping[str, Callable[[Run], Section]] = MappingProxyType(
    {
        "search": search_section,
        "prune": prune_section,
        "finetune": finetune_section,
        "sample": sample_section,
        "compare": compare_section,
        "study": study_section,
        "recipes": recipes_section,
        "evaluate": evaluate_section,
        "cost": cost_section,
    }
)


def section_of(run: Run) -> Section:
    """What a report tells of this run.

    Raises:
        BadRequest: what it has stored is damaged.
    """
    with as_result(run):
        return SECTIONS.get(run.config().kind, plain_section)(run)
