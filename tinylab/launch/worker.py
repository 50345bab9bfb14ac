"""The process behind a job: `python -m tinylab.launch.worker RUN`, or in place of RUN `--wait` or `--fork`.

These two first import what jobs need and then wait for orders, so that a job starts the moment it is ordered;
See `tinylab.launch.fork_server`. Standard input is the socket that orders come from; when that closes, they end.
"""

import contextlib
import faulthandler
import gc
import importlib
import os
import socket
import sys
from pathlib import Path

from tinylab.config import KINDS
from tinylab.launch.fork_server import next_order, nobody_left, report_ready
from tinylab.launch.handover import read_handover
from tinylab.processes import share_cores

__all__ = ["main"]

_HEAVY = ("torch", "diffusers.models.modeling_utils", "peft", "sklearn.datasets", "sklearn.model_selection")
_JOBS = tuple(kind.run.partition(":")[0] for kind in KINDS.values() if kind.tab)  # what the lab starts
_held: list[socket.socket] = []  # open for as long as this process lives: that it closes is the sign of its end


def main() -> int:
    """Execute one run; its output goes to the run's log.txt."""
    share_cores()
    # Libraries ask for a GPU when they are imported. That must not start CUDA, which then would take no notice of which
    # GPU a job is given later; with this, torch asks in another way.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    folder = sys.argv[1]
    if folder in ("--wait", "--fork"):
        folder = _wait_for_work(may_fork=folder == "--fork")
    else:
        _log_to(Path(folder) / "log.txt")
    if not folder:
        return 0
    from tinylab.errors import BadRequest, Failure, Stopped
    from tinylab.jobs.execute import execute
    from tinylab.runs.run import Run

    with contextlib.suppress(BadRequest, Failure, Stopped):  # it is in the run's status, too
        execute(Run.open(Path(folder)))
    return 0


def _wait_for_work(*, may_fork: bool) -> str:
    """Import everything, then wait for an order; "" if none comes. What fails to import is in the run's log."""
    fork_server = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    folder = ""
    try:
        for module in (*_HEAVY, *_JOBS):
            if nobody_left(fork_server):
                return ""
            importlib.import_module(module)
        if may_fork and not _has_accelerator():
            gc.collect()
            gc.freeze()  # so that a collection in a fork does not touch, and thereby copy, what it shares
            report_ready(fork_server)
    finally:
        channel = next_order(fork_server)
        if channel is not None:
            _held.append(channel)
            folder = read_handover(channel)
        if folder:
            _log_to(Path(folder) / "log.txt")
    if folder:
        _reseed()
    return folder


def _has_accelerator() -> bool:
    """Whether torch sees one of any make, whose driver would not survive a fork."""
    import torch

    return torch.accelerator.is_available()


def _reseed() -> None:
    """Have the generators that nobody seeds differ from those of other forks."""
    import numpy as np
    import torch

    torch.seed()
    np.random.seed()


def _log_to(path: Path) -> None:
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    faulthandler.enable()  # after a crash the log has the place


if __name__ == "__main__":
    sys.exit(main())
