"""What a report tells of a recovery: curves, samples on the way, hidden values, losses."""

from collections.abc import Mapping
from typing import Any, cast

from tinylab.config import FinetuneConfig
from tinylab.figures import activation_heatmap, curves, far_shares, largest_activations
from tinylab.files.json_file import read_object
from tinylab.metrics.layer_activations import Activations, activations_from_json
from tinylab.pruning.plan import DepthPlan
from tinylab.reports.names import model_label, plan_label
from tinylab.reports.reading import Points, scalar_curves, thinned
from tinylab.reports.section import Picture, Plot, Section, png_of
from tinylab.reports.sections.prune import kept_plot
from tinylab.reports.tables import losses_table
from tinylab.runs.run import ACTIVATIONS, SNAPSHOTS, Run

__all__ = ["finetune_section"]

# The loss and its terms, by the names of their curves: what the legend calls them.
_TERMS = {"loss": "loss", "mse": "images", "vb": "variance", "kd": "teacher's output", "features": "hidden states"}
_MODELS = {"teacher": "full model", "cut": "after the cut", "recovered": "fine-tuned"}
_SHOWN = 8  # snapshots; the first and the last always among them


def finetune_section(run: Run) -> Section:
    """The section of a fine-tuning, finished or not."""
    config = cast(FinetuneConfig, run.config())
    plan = DepthPlan.load(run.plan_path) if run.plan_path.is_file() else None
    measured, result = scalar_curves(run), run.result()
    stored = read_object(run.artifacts / ACTIVATIONS) or {}
    activations = {words: activations_from_json(stored[name]) for name, words in _MODELS.items() if name in stored}
    plots = [
        *([kept_plot(plan, run.id)] if plan else []),
        *_curves(run, config, measured, result),
        *_hidden(run, activations),
    ]
    return Section(
        "Recovery",
        (_asked(config, plan),),
        tuple(plots),
        (losses_table(run),) if result else (),
        _film(run),
        beside=False,
        data={"curves": measured, "activations": stored},
    )


def _asked(config: FinetuneConfig, plan: DepthPlan | None) -> str:
    what = f"{model_label(plan.model)}, cut to {plan.total} blocks ({plan_label(plan)})," if plan else "the cut model"
    start = "" if config.warm_start == "none" else f", after the warm start {config.warm_start}"
    return (
        f"Train {what} on, by the recipe {config.recipe} with the loss {config.loss}{start}: {config.steps:,} steps of "
        f"{config.batch_size} images, learning rate {config.rate:g}, seed {config.seed}."
    )


def _curves(run: Run, config: FinetuneConfig, measured: Mapping[str, Points], result: Mapping[str, Any]) -> list[Plot]:
    """The loss with its terms, and what was scored on the way."""
    terms = {words: measured.get(name, []) for name, words in _TERMS.items()}
    several = {words: thinned(points) for words, points in terms.items() if any(value for _, value in points)}
    lines = several if len(several) > 2 else {"loss": thinned(terms["loss"])}
    levels = {"full model, held out": float(result["loss_full"])} if result and config.loss == "diffusion" else {}
    look: dict[str, Any] = {"key": run.id, "total_steps": config.steps}
    plots = []
    if any(lines.values()):
        log = len(lines) > 1
        heading = "Loss and its unweighted terms" if log else "Training loss"
        figure = curves(lines, heading=heading, unit="loss", log=log, levels=levels, **look)
        plots.append(Plot(figure, "The loss of the training, thick and smoothed over thin and raw."))
    distance, read = measured.get("kernel_distance", []), measured.get("read_correctly", [])
    if distance:
        log = all(value > 0 for _, value in distance)
        figure = curves(
            {"distance": distance},
            heading="Distance from real digits",
            unit="distance",
            log=log,
            smoothed=False,
            **look,
        )
        plots.append(Plot(figure, "Kernel distance of the samples drawn on the way, lower is better."))
    if read:
        more: dict[str, Any] = {"range": [0, 1.04], "tickformat": ".0%"}
        figure = curves({"share": read}, heading="Samples read correctly", unit="share", smoothed=False, **look, **more)
        plots.append(Plot(figure, "How many samples a digit classifier takes for the class they should be."))
    return plots


def _hidden(run: Run, activations: Mapping[str, Activations]) -> list[Plot]:
    """Activation histograms: what lies behind every block, of the full, the cut and the recovered model."""
    if not activations:
        return []
    largest = largest_activations(activations, key=run.id, heading="Largest hidden value by block")
    plots = [Plot(largest, "Massive activations: the largest absolute value behind every block.")]
    if all(2.0 in layer.beyond for stacks in activations.values() for layers in stacks.values() for layer in layers):
        far = far_shares(activations, key=run.id, heading="Values beyond 2σ of their sample")
        plots.append(Plot(far, "The share of hidden values beyond 2σ; masked distillation leaves these out."))
    for name, found in activations.items():
        figure = activation_heatmap(found, key=run.id, heading=f"How far hidden values lie out: {name}")
        plots.append(
            Plot(figure, f"Histogram of hidden values, {name}: a column for each block, in deviations from the mean.")
        )
    return plots


def _film(run: Run) -> tuple[Picture, ...]:
    """Samples from the same noise on the way, the first and the last among them."""
    snapshots = sorted(path for path in (run.artifacts / SNAPSHOTS).glob("*.png") if path.stem.isdecimal())
    step = max(1, -(-(len(snapshots) - 1) // (_SHOWN - 1)))
    chosen = sorted({*snapshots[::step], *snapshots[-1:]})
    shown = []
    for path in chosen:
        png, at = png_of(path), int(path.stem)
        if png is not None:
            caption = "after the cut" if at == 0 else f"{at:,} steps"
            shown.append(Picture(png, caption, f"samples from the same noise, {caption}"))
    return tuple(shown)
