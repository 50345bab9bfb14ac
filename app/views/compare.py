"""A comparison: losses before and after fine-tuning, speed and size, strips of kept blocks, ranks in a study.

Table and figures are those of the report.
"""

from app.views.parts import Payload, sortable, status_card
from tinylab.reports.comparison import comparison_figures
from tinylab.reports.names import method_label
from tinylab.reports.tables import comparison_table
from tinylab.runs.run import Run

__all__ = ["SLOTS", "view"]

SLOTS = ("status", "table", "losses", "distribution", "study", "strips")


def view(run: Run, baseline: str | None = None) -> Payload:
    """Everything the Compare tab shows of a run; rows appear as methods finish, means as seeds do.

    Args:
        baseline: the name of the row that the others are set against.
    """
    shown = {"status": status_card(run, _doing(run.status().message))}
    table = comparison_table(run)
    if not table.rows:
        return Payload(shown)
    shown["table"] = sortable(table, run, baseline)
    return Payload(shown, comparison_figures(run), table.labels)


def _doing(message: str) -> str:
    """The job's message, with the method called as in the table."""
    cell, colon, rest = message.rpartition(": ")
    method, several, seed = cell.partition(", seed ")
    return f"{method_label(method)}{several}{seed}: {rest}" if colon else message
