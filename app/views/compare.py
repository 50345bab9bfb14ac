"""A comparison: strips of kept blocks, losses before and after fine-tuning, speed and size, ranks in a study."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from app.live import Payload
from app.views.names import method_label
from app.views.parts import status_card, table
from tinylab.figures import candidate_scatter, kept_strips, loss_dumbbells
from tinylab.pruning.plan import block_names
from tinylab.runs.ground_truth import GroundTruth
from tinylab.runs.record import Run

__all__ = ["SLOTS", "view"]

SLOTS = ("status", "table", "losses", "study", "strips")
_MOST = 3000  # candidates that a picture shows; of more, every so-manieth

Row = dict[str, Any]


def view(run: Run) -> Payload:
    """Everything the Compare tab shows of a run; rows appear as methods finish, means as seeds do."""
    result = run.result()
    shown = {"status": status_card(run, _doing(run.status().message))}
    if not result.get("rows"):
        return Payload(shown)
    shown["table"] = _table(result)
    rows = {method_label(row["method"]): row for row in result["rows"]}
    names, full = block_names(result["full"]["depth"]), result["full"]["loss"]
    figures = {
        "losses": loss_dumbbells(
            {label: (row["loss_pruned"], row["loss_finetuned"]) for label, row in rows.items()},
            errors={
                label: (row.get("loss_pruned_error"), row.get("loss_finetuned_error")) for label, row in rows.items()
            },
            full=full,
            key=run.id,
            heading="Loss right after the cut, and fine-tuned",
        ),
        "strips": kept_strips(
            {label: _shares(row, names) for label, row in rows.items()},
            sum(names.values(), []),
            key=run.id,
            heading="Which blocks each method keeps",
        ),
    }
    truth = GroundTruth.load(run.artifacts) if result.get("study") else None
    if truth is not None and truth.finetuned:
        figures["study"] = _scatter(truth, rows, full=full, key=run.id)
    return Payload(shown, figures)


def _doing(message: str) -> str:
    """The job's message, with the method called as in the table."""
    cell, colon, rest = message.rpartition(": ")
    method, several, seed = cell.partition(", seed ")
    return f"{method_label(method)}{several}{seed}: {rest}" if colon else message


def _cells(row: Row) -> Sequence[Row]:
    return row.get("cells") or [row]


def _kept(cell: Row, names: Mapping[str, list[str]]) -> list[str]:
    """The names of the blocks that a cell, or a row with its first seed, keeps."""
    return [several[int(i)] for stack, several in names.items() for i in cell["kept"][stack]]


def _shares(row: Row, names: Mapping[str, list[str]]) -> dict[str, float]:
    """The share of the seeds that keep each block, of those that any keeps."""
    choices = [_kept(cell, names) for cell in _cells(row)]
    return {name: sum(name in kept for kept in choices) / len(choices) for kept in choices for name in kept}


def _scatter(truth: GroundTruth, rows: Mapping[str, Row], *, full: float, key: str) -> dict[str, Any]:
    candidates = [(" ".join(row.kept), before, after) for row, before, after in truth.finetuned]
    everything = "Every choice there is" if len(candidates) == len(truth.table) else "Choices out of all there are"
    step = -(-len(candidates) // _MOST)
    chosen = {
        label: sorted({tuple(cell["study_losses"]) for cell in _cells(row) if cell.get("study_losses")})
        for label, row in rows.items()
    }
    return candidate_scatter(
        candidates[::step],
        {label: points for label, points in chosen.items() if points},
        full=full,
        key=key,
        heading=f"{everything}: right after the cut, and fine-tuned",
    )


def _table(result: Row) -> str:
    rows, full, study = result["rows"], result["full"], result.get("study")
    names = block_names(full["depth"])
    final = [row["loss_finetuned"] if row["loss_finetuned"] is not None else row["loss_pruned"] for row in rows]
    body = [
        [
            html.escape(method_label(row["method"])),
            _loss(row, "loss_pruned"),
            _loss(row, "loss_finetuned"),
            *([_rank(row)] if study else []),
            f"{row['speedup']:.2f}×",
            f"{row['parameters']:,} ({row['parameters_share']:.0%})",
            html.escape(_choices(row, names)),
        ]
        for row in rows
    ]
    rank = ["–"] if study else []
    body.append(["Full model", f"{full['loss']:.4f}", "–", *rank, "1.00×", f"{full['parameters']:,} (100%)", "all"])
    head = ["Method", "Loss after the cut", "Fine-tuned", *(["Among all"] if study else []), "Speed", "Weights"]
    return table([*head, "Kept blocks"], body, best=final.index(min(final))) + _note(result)


def _note(result: Row) -> str:
    words = "Loss on held-out images, lower is better; the best final one stands out."
    if len(result.get("seeds", ())) > 1:
        words += f" Means over {len(result['seeds'])} seeds ± standard error."
    if result.get("study"):
        words += f" Ranks are among the {result['study']['finetuned']:,} choices that the study fine-tuned."
    return f'<p class="tl-note">{words}</p>'


def _loss(row: Row, name: str) -> str:
    """A loss, with its standard error where seeds differ."""
    if row[name] is None:
        return "–"
    error = row.get(f"{name}_error")
    return f"{row[name]:.4f} ± {error:.4f}" if error else f"{row[name]:.4f}"


def _rank(row: Row) -> str:
    return "–" if row.get("rank") is None else f"{row['rank']:,.4g} (best {row['rank_share']:.1%})"


def _choices(row: Row, names: Mapping[str, list[str]]) -> str:
    """The kept blocks with the first seed, and how many other choices there are."""
    distinct = {tuple(_kept(cell, names)) for cell in _cells(row)}
    more = f" and {len(distinct) - 1} more" if len(distinct) > 1 else ""
    return " ".join(_kept(row, names)) + more
