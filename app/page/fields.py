"""Fields that several tabs have."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from app.access.visitors import UNREADABLE
from app.texts import entries, text
from tinylab.models.catalog import describe_model
from tinylab.sampling import SAMPLERS, samplers_of

__all__ = [
    "against_field",
    "data_field",
    "guidance_field",
    "keep_in_address",
    "labelled",
    "number_field",
    "offer_samplers",
    "sampler_field",
    "sampling_fields",
    "text_field",
]


def labelled(kind: str, name: str, key: str) -> dict[str, Any]:
    """Label, info and placeholder of a field as far as the texts have them, and the id of its element.

    Args:
        key: of the label; info and placeholder are the entries `key_info` and `key_placeholder`.
    """
    found: dict[str, Any] = {"label": text(key), "elem_id": f"{kind}-{name.replace('_', '-')}"}
    parts = [part for part in ("info", "placeholder") if f"{key}_{part}" in entries("en")]
    return found | {part: text(f"{key}_{part}") for part in parts}


def data_field(kind: str) -> gr.Textbox:
    """What to learn from; digit models need nothing here."""
    return text_field(kind, "data", "fields.data", "auto")


def against_field(kind: str, **style: Any) -> gr.Dropdown:
    """Up to four shallow models beside the original; a tab fills it when it is opened."""
    words = labelled(kind, "against", "fields.against")
    return gr.Dropdown([], value=[], multiselect=True, max_choices=4, **words | style)


def sampler_field(kind: str) -> gr.Radio:
    """How images are drawn; it goes by the model, see `offer_samplers`."""
    return gr.Radio([], **labelled(kind, "sampler", "fields.sampler"))


def offer_samplers(model: str) -> Any:
    """The samplers that fit the loaded model, the first one chosen."""
    try:
        fitting = samplers_of(describe_model(model).family.name)
    except UNREADABLE:
        return gr.skip()
    return gr.Radio(choices=[(SAMPLERS.entry(name).label, name) for name in fitting], value=fitting[0])


def guidance_field(kind: str, guidance: float) -> gr.Slider:
    """Scale of classifier-free guidance."""
    return gr.Slider(0, 8, value=guidance, step=0.1, **labelled(kind, "guidance", "fields.guidance"))


def sampling_fields(kind: str, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Which models draw, and how; `usual` has the numbers to begin with."""
    return {
        "against": against_field(kind),
        "sampler": sampler_field(kind),
        "steps": gr.Slider(1, 250, value=usual["steps"], step=1, **labelled(kind, "steps", "fields.steps")),
        "guidance": guidance_field(kind, usual["guidance"]),
    }


def number_field(kind: str, name: str, value: float, label: str, **style: Any) -> gr.Number:
    """A small field for a number; whole if its value is. `label` is the key of a text."""
    whole = 0 if isinstance(value, int) else None
    return gr.Number(value, precision=whole, **{"min_width": 80, **labelled(kind, name, label), **style})


def text_field(kind: str, name: str, label: str, value: str = "", **style: Any) -> gr.Textbox:
    """A field for one line of text; `label` is the key of a text."""
    return gr.Textbox(value, max_lines=1, **labelled(kind, name, label) | style)


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
