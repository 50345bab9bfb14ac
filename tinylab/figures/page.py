"""Figures as one HTML file that needs nothing else: no network, no server."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.io import to_html

__all__ = ["html_page"]

_STYLE = "body{font-family:sans-serif;color:#222;background:#fff;margin:0 auto;padding:8px;max-width:960px}"


def html_page(title: str, figures: Sequence[dict[str, Any]], *, words: str = "") -> str:
    """A page with these figures below each other, as wide as the window.

    Args:
        words: a sentence below the title.
    """
    parts = [
        to_html(
            go.Figure(figure),
            full_html=False,
            include_plotlyjs=index == 0,  # the library itself, once
            default_width="100%",
            default_height=f"{figure['layout']['height']}px",
            div_id=f"figure-{index}",
            config={"responsive": True, "displaylogo": False},
        )
        for index, figure in enumerate(figures)
    ]
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    )
    body = f"<h1>{html.escape(title)}</h1><p>{html.escape(words)}</p>" + "\n".join(parts)
    return f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{body}</body></html>\n'
