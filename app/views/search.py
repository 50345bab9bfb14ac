"""A mask search: the heatmap, what is decided and how surely, the options, the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from app.live import Payload
from app.views.parts import cells, losses, status_card
from tinylab.config import SearchConfig
from tinylab.figures import curves, keep_heatmap, option_bars
from tinylab.pruning.plan import NMPattern
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.record import Run

__all__ = ["SLOTS", "view"]

SLOTS = ("status", "decision", "result", "heatmap", "options", "loss")
_UNSURE = 0.5  # a decision below this confidence is called open
_OPEN = "The search has not quite made up its mind. Give it more steps, or take this as a close call."


def view(run: Run) -> Payload:
    """Everything the Search tab shows of a run."""
    config = cast(SearchConfig, run.config())
    metrics = MetricsReader(run.metrics_path)
    html = {"status": status_card(run)}
    figures = {}
    keep = metrics.vectors("keep/blocks")
    if keep:
        steps = [step for step, _ in keep]
        figures["heatmap"] = keep_heatmap(steps, [row for _, row in keep], key=run.id, total_steps=config.steps)
        figures["options"] = option_bars(_options(config, metrics), key=run.id)
        html["decision"] = _decision(run, config, metrics)
        figures["loss"] = curves(
            {"loss": metrics.scalars("loss")},
            key=run.id,
            heading="Loss with some blocks skipped",
            unit="loss",
            total_steps=config.steps,
        )
    result = run.result()
    if result:
        named = [("full model", result["loss_full"]), ("right after the cut", result["loss_pruned"])]
        html["result"] = losses(named, "The cut hurts at first. Compare shows what fine-tuning makes of it.")
    return Payload(html, figures)


def _groups(config: SearchConfig, depth: int) -> list[range]:
    return NMPattern.parse(config.pattern).groups(depth)


def _options(config: SearchConfig, metrics: MetricsReader):
    last = metrics.last_vectors()
    masks = NMPattern.parse(config.pattern).options()
    groups = _groups(config, len(last["keep/blocks"]))
    return [(list(span), last[f"options/blocks/{i}"], masks) for i, span in enumerate(groups)]


def _decision(run: Run, config: SearchConfig, metrics: MetricsReader) -> str:
    vectors, scalars = metrics.last_vectors(), metrics.last_scalars()
    depth = len(vectors["keep/blocks"])
    kept = [int(block) for block in vectors["decision/blocks"]]
    groups = _groups(config, depth)
    sure = [scalars[f"confidence/blocks/{index}"] for index in range(len(groups))]
    lines = "".join(_line(span, kept, confidence) for span, confidence in zip(groups, sure, strict=True))
    finished = run.status().state == "finished"
    note = f'<p class="tl-note">{_OPEN}</p>' if finished and min(sure) < _UNSURE else ""
    title = "The choice" if finished else "The choice so far"
    return f'<div class="tl-decision"><h4>{title}</h4>{cells(kept, depth)}<ul>{lines}</ul>{note}</div>'


def _line(span: range, kept: Sequence[int], confidence: float) -> str:
    """One group: which of its blocks stay, and the probability of exactly that."""
    inside = " ".join(str(block) for block in kept if block in span)
    where = f"{span.start}–{span.stop - 1}"
    return (
        f"<li>blocks {where}: keep <b>{inside}</b>"
        f'<span class="tl-meter" aria-hidden="true"><span style="width:{confidence * 100:.0f}%"></span></span>'
        f"{_percent(confidence)} sure</li>"
    )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
