"""Jobs that the launcher starts in processes of their own, small enough for a test, and their end."""

from __future__ import annotations

import time

from tinylab.config import PruneConfig, SearchConfig
from tinylab.launch import launch
from tinylab.launch.fork_server import may_fork
from tinylab.runs.metrics_db import MetricsReader
from tinylab.runs.run import Run
from tinylab.runs.store import list_runs

__all__ = ["await_fork_server", "await_state", "await_steps", "end_all", "long_search", "short_prune"]


def await_fork_server() -> None:
    """Have jobs start at once, and as forks, as in an app that has been open for a while; where that can be."""
    launch.warm_up()
    until = time.monotonic() + 120
    while may_fork() and not launch._fork_server.is_ready():
        assert launch._fork_server.process.poll() is None and time.monotonic() < until
        time.sleep(0.02)


def long_search(model: str) -> SearchConfig:
    """A job that goes on until it is stopped."""
    return SearchConfig.create(
        model=model, pattern="2:4", steps=100_000, batch_size=4, log_every=1, checkpoint_every=20, threads=1
    )


def short_prune(model: str) -> PruneConfig:
    """A job that is done at once."""
    return PruneConfig.create(model=model, indices=(0,))


def await_steps(run: Run, count: int) -> None:
    """Wait until the job has logged `count` steps."""
    while len(MetricsReader(run.metrics_path).scalars("loss")) < count:
        assert run.status().state in ("starting", "running"), run.status()
        time.sleep(0.02)


def await_state(run: Run, state: str) -> None:
    """Tend the line until the run says of itself that it is in this state."""
    while run.stored_status().state != state:
        assert run.stored_status().state not in ("failed", "interrupted", "stopped"), run.stored_status()
        launch.tend()
        time.sleep(0.02)


def end_all() -> None:
    """Empty the line and end every job; the process that waits for the next one stays."""
    for queued in (True, False):
        for run in list_runs():
            if (run.status().state == "queued") == queued:
                launch.stop(run)
