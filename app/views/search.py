"""A mask search: the heatmap, what is decided and how surely, the options, the loss; what several seeds agree on."""

import html as markup
from collections.abc import Mapping, Sequence
from typing import Any, cast

from app.views.parts import Payload, cells, losses, status_card
from tinylab.config import SearchConfig
from tinylab.figures import curves, keep_heatmap, option_bars
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import block_names
from tinylab.reports.reading import keep_columns, searched_depth
from tinylab.runs.run import Run

__all__ = ["SLOTS", "view"]

SLOTS = ("status", "decision", "heatmap", "result", "options", "loss")


def view(run: Run) -> Payload:
    """Everything the Search tab shows of a run."""
    config = cast(SearchConfig, run.config())
    metrics = run.metrics()
    html = {"status": status_card(run)}
    figures = {}
    last = metrics.last_vectors()
    depth = searched_depth(last)
    if depth:
        columns = keep_columns(metrics, list(depth))
        names = block_names(depth)
        total = config.steps * max(1, len(config.seeds))
        figures["heatmap"] = keep_heatmap(
            list(columns), list(columns.values()), sum(names.values(), []), key=run.id, total_steps=total
        )
        layout = Layout.parse(config.pattern, depth)
        groups = {group.name: [names[stack][i] for stack, i in group.blocks] for group in layout.groups}
        shown = [group for group in layout.groups if f"options/{group.name}" in last]  # a budget has too many
        options = [(groups[group.name], last[f"options/{group.name}"], group.options({})) for group in shown]
        if options:
            figures["options"] = option_bars(options, key=run.id)
        html["decision"] = _decision(run, names, groups, last, metrics.last_scalars())
        figures["loss"] = curves(
            {"loss": metrics.scalars("loss")},
            key=run.id,
            heading="Loss with some blocks skipped",
            unit="loss",
            total_steps=total,
        )
    result = run.result()
    if result:
        named = [("full model", result["loss_full"]), ("right after the cut", result["loss_pruned"])]
        html["result"] = losses(named, "The cut hurts at first. Compare shows what fine-tuning makes of it.")
    return Payload(html, figures)


def _decision(
    run: Run,
    names: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    vectors: Mapping[str, Sequence[float]],
    scalars: Mapping[str, float],
) -> str:
    result = run.result()
    chosen: Mapping[str, Sequence[float]] = result.get("kept") or {s: vectors[f"decision/{s}"] for s in names}
    kept = {stack: [several[int(i)] for i in chosen[stack]] for stack, several in names.items()}
    everything = [block for several in kept.values() for block in several]
    sure = {group: scalars[f"confidence/{group}"] for group in groups}
    # Of several searches the last one's confidence says nothing about the choice of all.
    lines = "" if "agreement" in result else "".join(_line(b, everything, sure[g]) for g, b in groups.items())
    notes = "".join(f'<p class="tl-note">{markup.escape(line)}</p>' for line in result.get("remarks", []))
    title = "The choice" if result else "The choice so far"
    strips = "".join(cells(kept[stack], several) for stack, several in names.items())
    agreed = _agreement(result["agreement"], len(result["searches"])) if "agreement" in result else ""
    return f'<div class="tl-decision"><h4>{title}</h4>{strips}<ul>{lines}</ul>{agreed}{notes}</div>'


def _agreement(found: Mapping[str, Any], count: int) -> str:
    """What several seeds have in common."""
    sometimes = ", ".join(f"{name} ({share:.0%})" for name, share in found["sometimes"].items())
    parts = [
        ("kept by every seed", " ".join(found["always"])),
        ("kept by some", sometimes),
        ("kept by none", " ".join(found["never"])),
    ]
    lines = "".join(f"<li>{words}: <b>{markup.escape(names)}</b></li>" for words, names in parts if names)
    return f"<h4>What {count} seeds agree on</h4><ul>{lines}</ul>"


def _line(blocks: Sequence[str], kept: Sequence[str], confidence: float) -> str:
    """One group: which of its blocks stay, and the probability of exactly that."""
    inside = markup.escape(" ".join(block for block in kept if block in blocks))
    where = markup.escape(f"{blocks[0]}–{blocks[-1]}")
    return (
        f"<li>blocks {where}: keep <b>{inside}</b>"
        f'<span class="tl-meter" aria-hidden="true"><span style="width:{confidence * 100:.0f}%"></span></span>'
        f"{_percent(confidence)} sure</li>"
    )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
