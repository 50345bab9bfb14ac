"""What a report tells of a mask search: the film, the decision, what it is worth."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tinylab.config import SearchConfig
from tinylab.figures import curves, keep_heatmap, kept_strips, option_bars
from tinylab.figures.search import mask_animation
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import block_names
from tinylab.reports.names import model_label
from tinylab.reports.reading import keep_columns, scalar_curves, searched_depth, thinned
from tinylab.reports.section import Plot, Section
from tinylab.reports.tables import blocks_table, losses_table
from tinylab.runs.run import Run

__all__ = ["search_section"]


def search_section(run: Run) -> Section:
    """The section of a search, finished or not."""
    config = cast(SearchConfig, run.config())
    metrics = run.metrics()
    depth, result = searched_depth(metrics.last_vectors()), run.result()
    if not depth:
        return Section("Which layers to keep, learned", (_asked(config), "It has recorded no step yet."))
    names = block_names(depth)
    columns = keep_columns(metrics, list(depth))
    blocks = blocks_table(run)
    kept = [str(row.values[0]) for row in blocks.rows if row.values[2] == "stays"]
    told = "It keeps" if result else "So far it would keep"
    words = [_asked(config), f"{told} {len(kept)} of {len(blocks.rows)} blocks: {' '.join(kept)}.", *_agreed(result)]
    words += [f"Note: {line}" for line in result.get("remarks", [])]
    plots = [
        *_dynamics(run, config, names, columns, kept),
        *_options(run, config, depth, names, metrics.last_vectors()),
    ]
    tables = (*([losses_table(run)] if result else []), blocks)
    film = {"steps": list(columns), "blocks": sum(names.values(), []), "keep": list(columns.values())}
    data = {"film": film, "curves": scalar_curves(run)}
    return Section("Which layers to keep, learned", tuple(words), tuple(plots), tables, data=data)


def _asked(config: SearchConfig) -> str:
    seeds = f"with seeds {', '.join(map(str, config.seeds))}" if config.seeds else f"with seed {config.seed}"
    return (
        f"Learn which blocks of {model_label(config.model)} to keep, by the pattern {config.pattern}: {config.steps:,} "
        f"steps of {config.batch_size} images {seeds}. Gradients pass through drawn masks by {config.estimator}; the "
        f"weights move along as {config.weights}; the decision is by {config.decision}."
    )


def _agreed(result: Mapping[str, Any]) -> list[str]:
    """What several seeds have in common."""
    found = result.get("agreement")
    if not found:
        return []
    sometimes = ", ".join(f"{name} ({share:.0%})" for name, share in found["sometimes"].items())
    always, never = (" ".join(found[name]) for name in ("always", "never"))
    parts = (("all keep", always), ("some keep", sometimes), ("none keeps", never))
    told = "; ".join(f"{words} {names}" for words, names in parts if names)
    return [f"Of {len(result['searches'])} seeds {told}."]


def _dynamics(
    run: Run,
    config: SearchConfig,
    names: Mapping[str, Sequence[str]],
    columns: Mapping[int, Sequence[float]],
    kept: Sequence[str],
) -> list[Plot]:
    blocks = [name for several in names.values() for name in several]
    total = config.steps * max(1, len(config.seeds))
    steps, keep = list(columns), list(columns.values())
    strips = kept_strips({"chosen": kept}, blocks, key=run.id, heading="The layers that stay")
    heat = keep_heatmap(steps, keep, blocks, key=run.id, total_steps=total)
    loss = run.metrics().scalars("loss")
    line = curves(
        {"loss": thinned(loss)},
        key=run.id,
        heading="Loss with some blocks skipped",
        unit="loss",
        total_steps=total,
    )
    return [
        Plot(strips, f"The layers that stay, filled: {' '.join(kept)} of {len(blocks)}.", wide=True),
        Plot(
            mask_animation(steps, keep, blocks, key=run.id, kept=kept),
            "The mask film: how likely each block is to stay, step by step. The chosen blocks are green.",
        ),
        Plot(heat, "Decision dynamics: the probability of every block to stay, over the steps of the search."),
        *([Plot(line, "The loss of the network with drawn masks.")] if loss else []),
    ]


def _options(
    run: Run,
    config: SearchConfig,
    depth: Mapping[str, int],
    names: Mapping[str, Sequence[str]],
    last: Mapping[str, list[float]],
) -> list[Plot]:
    """The most probable options of every group; a budget over all blocks has too many to record."""
    layout = Layout.parse(config.pattern, depth)
    groups = [
        ([names[stack][i] for stack, i in group.blocks], last[f"options/{group.name}"], group.options({}))
        for group in layout.groups
        if f"options/{group.name}" in last
    ]
    if not groups:
        return []
    return [Plot(option_bars(groups, key=run.id), "The most probable choices at the end; the chosen ones are green.")]
