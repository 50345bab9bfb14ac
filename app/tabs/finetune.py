"""Fine-tune: let a shallow model recover."""

from typing import Any

import gradio as gr

from app.page.comparison import ComparisonMenu, other_run
from app.page.fields import keep_in_address
from app.page.lab import Lab
from app.page.menus import comparable_runs, plan_sources
from app.tabs.finetune_fields import Fields, more_fields, only_used, plain_fields, recipe_values
from app.texts import text
from app.views.finetune import SLOTS, view
from app.views.settings import LABELS, choices, depends
from tinylab.config import FinetuneConfig
from tinylab.errors import BadRequest
from tinylab.presets import finetune_config

__all__ = ["ID", "TITLE", "comparison_menu", "build", "make_config", "parse_numbers"]

ID, TITLE = "finetune", "Fine-tune"
_QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_MASTERS = tuple(dict.fromkeys(master for master, _ in depends().values()))  # fields that decide which others count


def build(lab: Lab) -> None:
    """Recipe on the left; curves and snapshots on the right."""
    with lab.job_tab(ID, "finetune", view, SLOTS, comparison=other_run, menu=comparison_menu) as panel:
        plain, (more, heading) = plain_fields(), more_fields()
        fields = plain | more
    panel.wire(make_config, {"model": lab.model, **fields})
    lab.refresh("finetune", plan_sources, fields["plan"])
    _wire_recipe(fields, heading)


def comparison_menu() -> ComparisonMenu:
    """The menu of other fine-tunings to show beside the one that is shown."""
    return ComparisonMenu(
        "finetune",
        "beside",
        lambda visitor, shown: comparable_runs(visitor, "finetune", shown),
        label=text("panel.compare_with"),
        info=text("panel.compare_with_info"),
        elem_id="finetune-beside",
    )


def _wire_recipe(fields: Fields, heading: gr.Markdown) -> None:
    """A recipe fills the fields; what is chosen decides which of them are shown."""
    read = [*_MASTERS, *depends()]

    def show_used(recipe: str, *values: Any) -> list[Any]:
        return only_used(recipe, dict(zip(read, values, strict=True)))

    recipe = fields["recipe"]
    wiring: dict[str, Any] = {
        "fn": show_used,
        "inputs": [recipe, *(fields[name] for name in read)],
        "outputs": [*(fields[name] for name in depends()), fields["loss"], heading],
        "queue": False,
        **_QUIETLY,
    }
    for master in _MASTERS:
        fields[master].input(**wiring)
    filled = [name for name in fields if name in LABELS and name not in ("recipe", "seed", "data")]
    outputs = [fields[name] for name in filled]
    filling = recipe.input(lambda name: recipe_values(name, filled), [recipe], outputs, queue=False, **_QUIETLY)
    filling.then(**wiring)
    recipes = [name for _, name in choices("recipe")]
    keep_in_address(recipe, ID, recipes, lambda name: recipe_values(name, filled), outputs).then(**wiring)


def make_config(
    model: str | None, plan: str | None, indices: str | None, recipe: str = "quick", **values: Any
) -> FinetuneConfig:
    """The form's values as a config; blocks named by hand go before the menu."""
    named = parse_numbers(indices)
    if named is None and not plan:
        raise BadRequest("pick which blocks to keep, or name them by hand, such as 0, 2, 4, 7, 9, 11")
    if named is None:
        return finetune_config(recipe, plan=plan, **values)
    return finetune_config(recipe, model=model, indices=named, **values)


def parse_numbers(text: str | None) -> tuple[str, ...] | None:
    """Names or numbers separated by commas or spaces, still to be checked; None for an empty text."""
    return tuple((text or "").replace(",", " ").split()) or None
