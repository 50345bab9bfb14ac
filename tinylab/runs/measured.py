"""What a job measures once at its start and keeps, so that a resumed one goes on in the same way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tinylab import atomic
from tinylab.runs.context import JobContext

__all__ = ["measured_once"]


def measured_once(context: JobContext, name: str, measure: Callable[[], Any]) -> Any:
    """What `measure` returned (as JSON holds it) when it was first asked for in this run."""
    path = context.run.checkpoints / f"{name}.json"
    if not path.is_file():
        found = measure()
        atomic.write_text(path, json.dumps(found) + "\n")
    return json.loads(path.read_text())
