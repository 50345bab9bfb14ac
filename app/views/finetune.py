"""A fine-tuning: curves, samples on the way, and what it brought; beside another one, if there is one to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.live import Payload
from app.views.differences import differences
from app.views.finetune_curves import Recovery, draw_curves
from app.views.parts import losses, picture, status_card
from tinylab.figures import largest_activations
from tinylab.metrics.layer_activations import activations_from_json
from tinylab.runs.run import Run

__all__ = ["SLOTS", "view"]

SLOTS = (
    "status",
    "result",
    "differences",
    "loss",
    "distance",
    "read",
    "snapshots",
    "rate",
    "norm",
    "warm",
    "activations",
)
_SHOWN = 8  # snapshots; the first and the last always among them
_MODELS = {"teacher": "full model", "cut": "after the cut", "recovered": "fine-tuned"}


def view(run: Run, beside: Run | None = None) -> Payload:
    """Everything the Fine-tune tab shows of a run, and of a second one to compare it with."""
    shown, other = Recovery(run), Recovery(beside) if beside else None
    html, figures = {"status": status_card(run)}, draw_curves(shown, other)
    if other:
        html["differences"] = differences(shown, other)
    snapshots = run.snapshots()
    if snapshots:
        html["snapshots"] = _film(snapshots)
    activations = _activations(run)
    if activations:
        figures["activations"] = activations
    result = run.result()
    if result:
        named = [
            ("full model", result["loss_full"]),
            ("right after the cut", result["loss_pruned"]),
            ("fine-tuned", result["loss_finetuned"]),
        ]
        html["result"] = losses(named, "The fine-tuned model is saved. Generate draws with it.")
    return Payload(html, figures)


def _film(snapshots: Sequence[Path]) -> str:
    last = len(snapshots) - 1
    chosen = [snapshots[i] for i in sorted({round(place * last / (_SHOWN - 1)) for place in range(_SHOWN)})]
    rows = "".join(
        f"<figure>{picture(path, f'samples after {int(path.stem)} steps')}"
        f"<figcaption>{'after the cut' if int(path.stem) == 0 else f'{int(path.stem):,} steps'}</figcaption></figure>"
        for path in chosen
    )
    return f'<div class="tl-film"><h4>The same noise, sampled on the way</h4>{rows}</div>'


def _activations(run: Run) -> dict[str, Any] | None:
    """The largest hidden values of every block, as far as the job has measured them."""
    stored = run.activations()
    models = {words: activations_from_json(stored[name]) for name, words in _MODELS.items() if name in stored}
    if not models:
        return None
    return largest_activations(models, key=run.id, heading="Largest hidden value by block")
