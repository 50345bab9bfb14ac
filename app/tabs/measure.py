"""Measure: how good the pictures of shallow models are, and what they save."""

import gradio as gr

from app.page.fields import offer_samplers
from app.page.lab import Lab
from app.page.menus import shallow_models
from app.tabs import measure_cost, measure_quality
from app.texts import text

__all__ = ["ID", "PARTS", "TITLE", "build"]

ID, TITLE = "measure", "Measure"
PARTS = (measure_quality, measure_cost)


def build(lab: Lab) -> None:
    """Two parts, each a form on the left and what was measured on the right."""
    with gr.Tabs(elem_id="measure-parts", overflow_behavior="wrap") as parts:
        for part in PARTS:
            with gr.Tab(text(f"tabs.{part.ID}"), id=part.ID, elem_id=f"part-{part.ID}") as opened:
                fields = part.build(lab)
            lab.follow_model(offer_samplers, fields["sampler"])
            lab.refresh(ID, shallow_models, fields["against"])
            opened.select(None, None, None, js=f"() => tinylab.opened('part', '{part.ID}')")
    lab.parts.append(parts)
