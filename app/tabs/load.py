"""Load: pick a model and see what it is."""

import html
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr

from app.access.references import check_reference
from app.access.uploads import convert_upload
from app.access.visitors import UNREADABLE, visitor_of
from app.page.lab import Lab
from app.page.prose import confirm, intro, message_place, problem
from app.texts import text
from app.views.parts import cells, picture, table
from tinylab.errors import BadRequest
from tinylab.models.catalog import built_in_models, describe_model
from tinylab.pruning.plan import block_names
from tinylab.reports.names import model_label

__all__ = ["ID", "TITLE", "build", "load", "model_card", "show", "upload"]

ID, TITLE = "load", "Load"


def build(lab: Lab) -> None:
    """The model menu and the card of the loaded model."""
    with gr.Row(elem_classes="tl-work tl-halves"):
        with gr.Column():
            intro("load")
            choice = gr.Dropdown(
                choices=list(built_in_models()),
                value=None,
                allow_custom_value=True,
                label=text("load.model"),
                info=text("load.model_info"),
                elem_id="load-model",
            )
            button = gr.Button(text("load.load"), variant="primary", elem_id="load-start")
            uploaded = gr.UploadButton(
                text("load.upload"), file_types=[".safetensors"], elem_id="load-upload", size="md"
            )
            message = message_place("load-message")
        with gr.Column():
            card = gr.HTML(elem_id="load-card", apply_default_css=False)
    button.click(load, [choice], [message, lab.model], show_progress="hidden", api_visibility="private").then(
        None, [lab.model], None, js="(model) => tinylab.remember('model', model)"
    )
    uploaded.upload(upload, [uploaded], [message, lab.model], show_progress="minimal", api_visibility="private").then(
        None, [lab.model], None, js="(model) => tinylab.remember('model', model)"
    )
    lab.follow_model(lambda model: gr.Dropdown(value=model or None, allow_custom_value=True), choice)
    lab.follow_model(show, card)


def load(reference: str | None, request: gr.Request) -> list[Any]:
    """The message and the loaded model after somebody asked for `reference`."""
    wanted = (reference or "").strip()
    try:
        check_reference(wanted, visitor_of(request))
        info = describe_model(wanted)
    except (BadRequest, OSError) as error:
        return [problem(str(error)), gr.skip()]
    return [confirm(f"Loaded {info.name}. Go on to Search."), info.name]


def upload(file: str | None, request: gr.Request) -> list[Any]:
    """The message and the loaded model after somebody uploaded a checkpoint in a published layout."""
    if not file:
        return [gr.skip(), gr.skip()]
    try:
        folder, notes = convert_upload(Path(file), visitor_of(request))
        info = describe_model(folder)
    except (BadRequest, OSError) as error:
        return [problem(str(error)), gr.skip()]
    finally:
        with suppress(OSError):
            Path(file).unlink()  # what is kept of it is its model folder
    return [confirm(" ".join([f"Loaded {info.name}.", *(f"Note: {note}." for note in notes)])), info.name]


def show(reference: str) -> str:
    """The card of the loaded model, empty if it is not there any more."""
    try:
        return model_card(reference)
    except UNREADABLE:
        return ""


def model_card(reference: str) -> str:
    """What the model is, as HTML: a drawing of its blocks, its numbers, and pictures of what it draws."""
    info = describe_model(reference)
    channels, side, _ = info.sample_shape
    family = info.family
    facts = [
        ("Kind", f"{family.class_name}: {family.summary}"),
        ("Images", f"{side}×{side}, {channels} channel{'s' if channels != 1 else ''}"),
        ("Classes", str(info.num_classes)),
        ("Blocks", " + ".join(str(count) for count in info.depth.values())),
        ("Width", f"{info.config[family.width]}, {info.config[family.heads]} heads"),
        ("Weights", f"{info.parameters:,}"),
    ]
    kept = info.kept or {stack: list(range(count)) for stack, count in info.depth.items()}
    names = block_names(info.full_depth)
    strips = "".join(cells([several[i] for i in kept[stack]], several) for stack, several in names.items())
    cut = "" if info.kept is None else '<p class="tl-note">This model was cut: the filled blocks stayed.</p>'
    samples = info.path / "samples.png"
    drawn = f"<h4>What it draws</h4>{picture(samples, f'samples of {reference}')}" if samples.is_file() else ""
    rows = [[html.escape(name), html.escape(value)] for name, value in facts]
    return (
        f'<div class="tl-card"><h3>{html.escape(model_label(reference))}</h3>{strips}{cut}'
        f'<div class="tl-split">{table([], rows)}<div>{drawn}</div></div></div>'
    )
