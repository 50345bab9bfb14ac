"""Keeps the server from asking other machines, whoever asks it to.

Gradio fetches addresses that a request names: `/gradio_api/file=https://…`, and files of uploads that are given by an
address. Nothing here needs that, and a lab must not be made to fetch things for strangers.
"""

from __future__ import annotations

from typing import Any

import safehttpx

__all__ = ["fetch_nothing"]


def fetch_nothing() -> None:
    """From now on Gradio refuses addresses before it looks up where they lead."""
    # Gradio calls both by way of their module: every request of a page's that leads elsewhere goes through one of them.
    safehttpx.get = safehttpx.async_validate_url = _refuse


async def _refuse(*_: Any, **__: Any) -> Any:
    raise ValueError("this lab fetches nothing from other machines; upload the file itself")
