"""What a report tells of a cut by a rule, by hand or by a plan."""

from typing import cast

from tinylab.config import PruneConfig
from tinylab.figures import kept_strips
from tinylab.pruning.criteria import DEFAULT
from tinylab.pruning.plan import DepthPlan, block_names
from tinylab.reports.names import in_figure, method_label, model_label, plan_label
from tinylab.reports.section import Plot, Section
from tinylab.reports.tables import losses_table
from tinylab.runs.run import Run

__all__ = ["kept_plot", "prune_section"]


def prune_section(run: Run) -> Section:
    """The section of a prune run, finished or not."""
    config = cast(PruneConfig, run.config())
    if not run.plan_path.is_file():
        return Section("Layers cut by a rule", (_asked(config), "It has not chosen yet."))
    plan = DepthPlan.load(run.plan_path)
    words = (_asked(config), f"{_kept_words(plan)}, chosen by: {plan_label(plan)}.")
    return Section("Layers cut by a rule", words, (kept_plot(plan, run.id),), (losses_table(run),))


def kept_plot(plan: DepthPlan, key: str) -> Plot:
    """The strip of the layers that a plan keeps."""
    blocks = [name for several in block_names(plan.depth).values() for name in several]
    figure = kept_strips(
        {in_figure(plan_label(plan)): plan.kept_names}, blocks, key=key, heading="The layers that stay"
    )
    return Plot(figure, f"The layers that stay, filled: {_kept_words(plan)}.", wide=True)


def _kept_words(plan: DepthPlan) -> str:
    return f"{plan.total} of {sum(plan.depth.values())} blocks stay: {' '.join(plan.kept_names)}"


def _asked(config: PruneConfig) -> str:
    if config.plan is not None:
        how = "as a plan says"
    elif config.indices is not None:
        how = f"by hand: {' '.join(map(str, config.indices))}"
    else:
        how = f"by the method {method_label(config.method or DEFAULT)}"
    return f"Cut {model_label(config.model)} {how}."
