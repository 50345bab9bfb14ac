"""Fields that several tabs have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.access.run_ids import UNREADABLE
from app.texts import text
from tinylab.models.catalog import describe_model
from tinylab.sampling import SAMPLERS, samplers_of

__all__ = [
    "against_field",
    "data_field",
    "guidance_field",
    "keep_in_address",
    "number_field",
    "offer_samplers",
    "sampler_field",
    "steps_field",
    "text_field",
]


def data_field(kind: str) -> gr.Textbox:
    """What to learn from; digit models need nothing here."""
    return text_field(kind, "data", "fields.data", "auto", info=text("fields.data_info"))


def against_field(kind: str, **look: Any) -> gr.Dropdown:
    """Up to four shallow models beside the original; a tab fills it when it is opened."""
    common: dict[str, Any] = {
        "label": text("fields.against"),
        "info": text("fields.against_info"),
        "elem_id": f"{kind}-against",
    }
    return gr.Dropdown([], value=[], multiselect=True, max_choices=4, **common | look)


def sampler_field(kind: str) -> gr.Radio:
    """How images are drawn; it goes by the model, see `offer_samplers`."""
    return gr.Radio([], label=text("fields.sampler"), elem_id=f"{kind}-sampler")


def offer_samplers(model: str) -> Any:
    """The samplers that fit the loaded model, the first one chosen."""
    try:
        fitting = samplers_of(describe_model(model).family.name)
    except UNREADABLE:
        return gr.skip()
    return gr.Radio(choices=[(SAMPLERS.entry(name).label, name) for name in fitting], value=fitting[0])


def steps_field(kind: str, steps: int) -> gr.Slider:
    """Denoising steps of an image."""
    return gr.Slider(1, 250, value=steps, step=1, label=text("fields.steps"), elem_id=f"{kind}-steps")


def guidance_field(kind: str, guidance: float) -> gr.Slider:
    """Scale of classifier-free guidance."""
    words = {"label": text("fields.guidance"), "info": text("fields.guidance_info")}
    return gr.Slider(0, 8, value=guidance, step=0.1, elem_id=f"{kind}-guidance", **words)


def number_field(kind: str, name: str, value: float, label: str, **look: Any) -> gr.Number:
    """A small field for a number; whole if its value is. `label` is the key of a text."""
    whole = 0 if isinstance(value, int) else None
    common: dict[str, Any] = {"min_width": 80, "elem_id": f"{kind}-{name}"}
    return gr.Number(value, precision=whole, label=text(label), **common | look)


def text_field(kind: str, name: str, label: str, value: str = "", **look: Any) -> gr.Textbox:
    """A field for one line of text; `label` is the key of a text."""
    return gr.Textbox(value, label=text(label), max_lines=1, elem_id=f"{kind}-{name}", **look)


_QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def keep_in_address(
    menu: gr.Radio, tab: str, presets: Sequence[str], fill: Callable[[str], list[Any]], filled: Sequence[Any]
) -> Any:
    """Tell the address of what is picked in `menu`, and on a new page pick what it says.

    Args:
        fill: the values of `filled` for a preset.

    Returns:
        What happens on a new page, so that more may follow.
    """

    def recall(request: gr.Request) -> list[Any]:
        query = dict(request.query_params)
        wanted = query.get("preset", "")
        if query.get("tab") != tab or wanted not in presets:
            return [gr.skip()] * (1 + len(filled))
        return [wanted, *fill(wanted)]

    menu.input(None, [menu], None, js="(preset) => tinylab.remember('preset', preset)", **_QUIETLY)
    return gr.on(None, recall, None, [menu, *filled], queue=False, **_QUIETLY)
