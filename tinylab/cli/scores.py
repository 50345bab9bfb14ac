"""What the terminal shows of an evaluation: the table of the report, and what is to be known about it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tinylab.cli.table import print_lines

if TYPE_CHECKING:
    from tinylab.runs.record import Run

__all__ = ["print_evaluation"]


def print_evaluation(run: Run, result: Mapping[str, Any], *, markdown: bool = False) -> None:
    """One row a model or file, the floor of real data below; warnings go to stderr."""
    from tinylab.reports.table_text import text_lines
    from tinylab.reports.tables import score_table

    table = score_table([run])
    print_lines(text_lines(table), markdown=markdown)
    print(table.note)
    for line in result.get("warnings", ()):
        print(f"note: {line}", file=sys.stderr)
