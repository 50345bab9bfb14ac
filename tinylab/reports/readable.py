"""Whether everything that pages and reports read of a run can be read: asked of runs that strangers have packed."""

import re

from tinylab.config import CompareConfig
from tinylab.errors import BadRequest
from tinylab.reports.reading import as_result
from tinylab.reports.sections import section_of
from tinylab.reports.table_render import table_html
from tinylab.runs.run import Run

__all__ = ["check_readable"]

_MOST_ROWS = 1000  # of a table that a page shows; the longest of our own have some hundred


def check_readable(run: Run) -> None:
    """BadRequest if what a run has stored does not have the shape that its kind of job gives it."""
    try:
        with as_result(run):
            if max((len(value) for value in run.result().values() if isinstance(value, list)), default=0) > _MOST_ROWS:
                raise ValueError("more rows than a page can show")
            for table in section_of(run).tables:
                table_html(table)
            if isinstance(run.config(), CompareConfig):
                _check_models(run)
    except BadRequest:
        raise
    except Exception as error:  # whatever a stranger has thought of
        raise BadRequest(f"what run {run.id} has stored is damaged ({type(error).__name__}); pack it again") from None


def _check_models(run: Run) -> None:
    """The models of a comparison lie in its own folder: menus offer them by the paths in its result."""
    for row in run.result().get("rows", []):
        if not re.fullmatch(r"models/\d{1,4}", str(row["model"])):
            raise ValueError("a model lies somewhere else")
