"""Run folders as jobs leave them, without the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinylab.config import JobConfig
from tinylab.runs.run import Run, Status

__all__ = ["make_run"]


def make_run(runs: Path, config: JobConfig, run_id: str, **status: Any) -> Run:
    """A run folder in the given state, finished unless said otherwise."""
    run = Run.create(runs / run_id, config)
    run.write_status(Status(**{"state": "finished", **status}))
    return run
