"""The process behind a job: `python -m tinylab.runs.worker RUN`, or RUN as a line on standard input.

Without an argument it first imports what jobs need, so that the job starts the moment its line arrives; when
standard input closes without one it ends.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path

from tinylab.runs.threads import share_cores

__all__ = ["main"]

_HEAVY = ("torch", "diffusers.models.modeling_utils", "peft", "sklearn.datasets", "tinylab.runs.jobs.search")


def main() -> int:
    """Execute one run; its output goes to the run's log.txt."""
    share_cores()
    if len(sys.argv) > 1:
        folder = sys.argv[1]
    else:
        for module in _HEAVY:
            importlib.import_module(module)
        folder = sys.stdin.readline().strip()
    if not folder:
        return 0
    _log_to(Path(folder) / "log.txt")
    from tinylab.errors import BadRequest, Failure, Stopped
    from tinylab.runs.execute import execute
    from tinylab.runs.record import Run

    with contextlib.suppress(BadRequest, Failure, Stopped):  # the run's status says the same
        execute(Run.open(Path(folder)))
    return 0


def _log_to(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


if __name__ == "__main__":
    sys.exit(main())
