"""The app as it runs in public, in this process: its settings come from an environment that a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.access.settings import House, house

__all__ = ["public_house"]


@contextmanager
def public_house(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[House]:
    """Open the lab to strangers, with what else is set in the environment, for as long as the block runs."""
    for name, value in {"TINYLAB_PUBLIC": "1", **variables}.items():
        monkeypatch.setenv(name, value)
    house.cache_clear()
    try:
        yield house()
    finally:
        house.cache_clear()
