"""The process behind a job: `python -m tinylab.runs.worker RUN`, or RUN as a line on standard input.

Without an argument it first imports what jobs need, so that the job starts the moment its line arrives; when
standard input closes without one it ends. After RUN the line may name, behind tabs, the number of the device that the
job was given, and the GPUs it may see.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import sys
from pathlib import Path

from tinylab.runs.devices import SLOT
from tinylab.runs.threads import share_cores

__all__ = ["main"]

_HEAVY = ("torch", "diffusers.models.modeling_utils", "peft", "sklearn.datasets", "tinylab.runs.jobs.search")


def main() -> int:
    """Execute one run; its output goes to the run's log.txt."""
    share_cores()
    if len(sys.argv) > 1:
        folder = sys.argv[1]
        _log_to(Path(folder) / "log.txt")
    else:
        folder = _wait_for_run()
    if not folder:
        return 0
    from tinylab.errors import BadRequest, Failure, Stopped
    from tinylab.runs.execute import execute
    from tinylab.runs.record import Run

    with contextlib.suppress(BadRequest, Failure, Stopped):  # the run's status says the same
        execute(Run.open(Path(folder)))
    return 0


def _wait_for_run() -> str:
    """Import everything, then wait for the line; "" if none comes. What fails to import is said in the run's log."""
    try:
        for module in _HEAVY:
            importlib.import_module(module)
    finally:
        folder, slot, visible = _read_line()
        if folder:
            _log_to(Path(folder) / "log.txt")
    if slot:
        os.environ[SLOT] = slot
    if visible:  # nothing has asked for a GPU yet: CUDA reads this when it starts
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    return folder


def _read_line() -> tuple[str, str, str]:
    words = sys.stdin.readline().rstrip("\n").rsplit("\t", 2)
    return (words[0], words[1], words[2]) if len(words) == 3 else (words[0], "", "")


def _log_to(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    faulthandler.enable()  # after a crash the log says where


if __name__ == "__main__":
    sys.exit(main())
