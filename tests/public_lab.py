"""The app as it runs in public, in this process: its settings come from an environment that a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.access.settings import LabSettings, lab_settings

__all__ = ["public_settings"]


@contextmanager
def public_settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[LabSettings]:
    """Open the lab to strangers, with what else is set in the environment, for as long as the block runs."""
    for name, value in {"TINYLAB_PUBLIC": "1", **variables}.items():
        monkeypatch.setenv(name, value)
    lab_settings.cache_clear()
    try:
        yield lab_settings()
    finally:
        lab_settings.cache_clear()
