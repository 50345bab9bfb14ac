"""Presets in the address: `?tab=search&preset=thorough` opens the form as the preset fills it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

__all__ = ["keep_in_address"]

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
