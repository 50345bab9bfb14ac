"""A fine-tuning: curves, samples on the way, and what it brought; beside another one, if there is one to compare."""

import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.views.finetune_curves import Recovery, draw_curves, names_of_two
from app.views.names import kept_words
from app.views.parts import Payload, losses, picture, status_card, table
from app.views.settings import LABELS, in_use, setting_words
from tinylab.figures import largest_activations
from tinylab.metrics.layer_activations import activations_from_json
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.run import Run

__all__ = ["SLOTS", "differences", "view"]

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
_NOTHING = "–"
_MODELS = {"teacher": "full model", "cut": "after the cut", "recovered": "fine-tuned"}


def view(run: Run, beside: Run | None = None) -> Payload:
    """Everything the Fine-tune tab shows of a run, and of a second one to compare it with."""
    shown, other = Recovery(run), Recovery(beside) if beside else None
    parts, figures = {"status": status_card(run)}, draw_curves(shown, other)
    if other:
        parts["differences"] = differences(shown, other)
    snapshots = run.snapshots()
    if snapshots:
        parts["snapshots"] = _film(snapshots)
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
        parts["result"] = losses(named, "The fine-tuned model is saved. Generate draws with it.")
    return Payload(parts, figures)


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


def differences(shown: Recovery, other: Recovery) -> str:
    """A table of both as HTML."""
    results, settings = list(_results(shown, other)), list(_settings(shown, other))
    note = "" if settings else '<p class="tl-note">All their settings are the same.</p>'
    head = ["", *names_of_two(shown, other)]
    rows = [[html.escape(cell) for cell in row] for row in (*results, *settings)]
    return f"<h4>Two recoveries: what came of them, and what differs</h4>{table(head, rows)}{note}"


def _results(shown: Recovery, other: Recovery) -> Iterator[list[str]]:
    both = (shown, other)
    found = [recovery.run.result() for recovery in both]
    for name, words in (
        ("loss_pruned", "Held-out loss after the cut"),
        ("loss_finetuned", "Held-out loss, fine-tuned"),
    ):
        values = [result.get(name) for result in found]
        yield [words, *(_NOTHING if value is None else f"{value:.4f}" for value in values)]
    scores = (("kernel_distance", "Distance from real digits", ".4g"), ("read_correctly", "Read correctly", ".0%"))
    for name, words, form in scores:
        values = [recovery.last(name) for recovery in both]
        if values != [None, None]:
            yield [words, *(_NOTHING if value is None else f"{value:{form}}" for value in values)]


def _settings(shown: Recovery, other: Recovery) -> Iterator[list[str]]:
    """The settings that differ, each as far as its run looks at it at all."""
    blocks = [_blocks(recovery) for recovery in (shown, other)]
    if blocks[0] != blocks[1]:
        yield ["Blocks", *blocks]
    values = [recovery.config.model_dump() for recovery in (shown, other)]
    for name, words in LABELS.items():
        cells = [setting_words(name, given[name]) if in_use(name, given) else _NOTHING for given in values]
        if cells[0] != cells[1]:
            yield [words, *cells]


def _blocks(recovery: Recovery) -> str:
    path = recovery.run.plan_path
    return kept_words(DepthPlan.load(path)) if path.is_file() else _NOTHING
