"""What a job measures once at its start and keeps, so that a resumed one goes on in the same way, and every process
of it, too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tinylab import atomic
from tinylab.runs.context import JobContext
from tinylab.together import together

__all__ = ["measured_once"]


def measured_once(context: JobContext, name: str, measure: Callable[[], Any]) -> Any:
    """What `measure` returned (as JSON holds it) when it was first asked for in this run."""
    path = context.run.checkpoints / f"{name}.json"

    def find() -> Any:
        if not path.is_file():
            found = measure()
            atomic.write_text(path, json.dumps(found) + "\n")
        return json.loads(path.read_text())

    return together().from_main(find)
