"""A comparison: strips of kept blocks, losses before and after fine-tuning, speed and size."""

from __future__ import annotations

import html
from typing import Any

from app.live import Payload
from app.views.names import method_label
from app.views.parts import status_card, table
from tinylab.figures import kept_strips, loss_dumbbells
from tinylab.pruning.plan import block_names
from tinylab.runs.record import Run

__all__ = ["SLOTS", "view"]

SLOTS = ("status", "table", "losses", "strips")


def view(run: Run) -> Payload:
    """Everything the Compare tab shows of a run; rows appear as methods finish."""
    result = run.result()
    shown = {"status": status_card(run, _doing(run.status().message))}
    rows = result.get("rows", [])
    if not rows:
        return Payload(shown)
    shown["table"] = _table(result)
    labels = {method_label(row["method"]): row for row in rows}
    names = block_names(result["full"]["depth"])
    strips = {label: _kept(row, names) for label, row in labels.items()}
    points = {label: (row["loss_pruned"], row["loss_finetuned"]) for label, row in labels.items()}
    figures = {
        "losses": loss_dumbbells(
            points,
            full=result["full"]["loss"],
            key=run.id,
            heading="Loss right after the cut, and fine-tuned",
        ),
        "strips": kept_strips(strips, sum(names.values(), []), key=run.id, heading="Which blocks each method keeps"),
    }
    return Payload(shown, figures)


def _kept(row: dict[str, Any], names: dict[str, list[str]]) -> list[str]:
    """The names of the blocks that a row keeps."""
    return [several[int(i)] for stack, several in names.items() for i in row["kept"][stack]]


def _doing(message: str) -> str:
    """The job's message, with the method called as in the table."""
    method, colon, rest = message.partition(": ")
    return f"{method_label(method)}: {rest}" if colon else message


def _table(result: dict[str, Any]) -> str:
    rows, full = result["rows"], result["full"]
    names = block_names(full["depth"])
    final = [row["loss_finetuned"] if row["loss_finetuned"] is not None else row["loss_pruned"] for row in rows]
    body = [
        [
            html.escape(method_label(row["method"])),
            f"{row['loss_pruned']:.4f}",
            "–" if row["loss_finetuned"] is None else f"{row['loss_finetuned']:.4f}",
            f"{row['speedup']:.2f}×",
            f"{row['parameters']:,} ({row['parameters_share']:.0%})",
            html.escape(" ".join(_kept(row, names))),
        ]
        for row in rows
    ]
    body.append(["Full model", f"{full['loss']:.4f}", "–", "1.00×", f"{full['parameters']:,} (100%)", "all"])
    head = ["Method", "Loss after the cut", "Fine-tuned", "Speed", "Weights", "Kept blocks"]
    note = '<p class="tl-note">Loss on held-out images, lower is better; the best final one stands out.</p>'
    return table(head, body, best=final.index(min(final))) + note
