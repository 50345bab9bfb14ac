"""An evaluation: samples side by side, every score with its interval, the floor, and what to keep in mind.

Table and figures are those of the report.
"""

import html
from collections.abc import Mapping
from typing import Any

from app.views.parts import Payload, pixels, sortable, status_card
from tinylab.reports.names import model_label
from tinylab.reports.section import artifact_png
from tinylab.reports.sections.evaluate import score_plots
from tinylab.reports.tables import score_table
from tinylab.runs.run import Run

__all__ = ["SLOTS", "view"]

_MOST = 14  # scores that are drawn: all there are, in two settings
SLOTS = ("status", "samples", "scores", *(f"score-{index}" for index in range(_MOST)))


def view(run: Run, baseline: str | None = None) -> Payload:
    """Everything the Quality part shows of a run.

    Args:
        baseline: the name of the row that the others are set against.
    """
    shown, result = {"status": status_card(run)}, run.result()
    if not result.get("rows"):
        return Payload(shown)
    columns = "".join(_column(run, row) for row in result["rows"])
    shown["samples"] = f'<h4>Samples from the same noise</h4><div class="tl-columns">{columns}</div>'
    table = score_table([run.result()])
    warnings = [str(line) for line in result.get("warnings", [])]
    shown["scores"] = sortable(table, run, baseline, remarks=[_judged(result), *warnings])
    plots = score_plots([result])[:_MOST]
    return Payload(shown, {f"score-{index}": plot.figure for index, plot in enumerate(plots)}, table.labels)


def _column(run: Run, row: Mapping[str, Any]) -> str:
    """The pictures of one model; nothing if they are gone."""
    png = artifact_png(run.artifacts, str(row["png"]))
    if png is None:
        return ""
    label, made = str(row["label"]), model_label(str(row["source"]))
    blocks = sum(int(count) for count in row["depth"].values()) if row.get("depth") else 0
    facts = [*([made] if made != label else []), *([f"{blocks} blocks"] if blocks else [])]
    words = "".join(f", {html.escape(fact)}" for fact in facts)
    picture = pixels(png, f"samples of {label}")
    return f"<figure><figcaption><b>{html.escape(label)}</b>{words}</figcaption>{picture}</figure>"


def _judged(result: Mapping[str, Any]) -> str:
    """By what the scores were taken."""
    extractor, reference = result["extractor"], result["reference"]
    return (
        f"Seen by {extractor['name']} ({int(extractor['features']):,} features, hash {extractor['hash']}), against "
        f"{int(reference['images']):,} real pictures of {reference['name']} (hash {reference['hash']})."
    )
