"""Two fine-tunings side by side: what came of them, and which settings differ."""

from __future__ import annotations

import html
from collections.abc import Iterator

from app.views.finetune_curves import Recovery, names_of_two
from app.views.names import kept_words
from app.views.parts import table
from app.views.settings import LABELS, in_use, setting_words
from tinylab.pruning.plan import DepthPlan

__all__ = ["differences"]

_NOTHING = "–"


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
