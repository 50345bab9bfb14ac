"""What a report tells of a run of any other kind, such as a training: its numbers and its curves."""

from tinylab.config import kind_of
from tinylab.figures import curves
from tinylab.reports.names import in_figure
from tinylab.reports.reading import scalar_curves, thinned
from tinylab.reports.section import Plot, Section
from tinylab.reports.table import Column, Row, Table
from tinylab.runs.run import Run

__all__ = ["plain_section"]


def plain_section(run: Run) -> Section:
    """A section of what the run has stored, whatever it is."""
    config, measured = run.config(), scalar_curves(run)
    columns = (Column("name", "Name"), Column("value", "Value", format=".6g"))
    facts = [
        Row((str(name).replace("_", " "), value))
        for name, value in run.result().items()
        if isinstance(value, int | float | str)
    ]
    tables = (Table("facts", "What it came to", columns, tuple(facts)),) if facts else ()
    plots = [
        Plot(
            curves({name: thinned(points)}, key=run.id, heading=in_figure(name), unit=in_figure(name)),
            f"The curve of {name} over the steps.",
        )
        for name, points in measured.items()
        if name in ("loss", "lr")
    ]
    words = (f"{type(config).summary[:1].upper()}{type(config).summary[1:]}.",)
    return Section(kind_of(config).title, words, tuple(plots), tables, data={"curves": measured})
