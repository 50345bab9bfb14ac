"""What a process is told that is to do a job: the run, the device it was given, and the launcher's environment."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from tinylab.runs.devices import SLOT, visible_to
from tinylab.runs.threads import share_cores

__all__ = ["receive_work", "work_order"]


def work_order(folder: Path, slot: int) -> bytes:
    """The line that says: do the job of the run in `folder`, on the device with the number `slot`."""
    environment = {**os.environ, SLOT: str(slot)}
    if visible := visible_to(slot):  # nothing in a waiting process has asked for a GPU: CUDA reads this when it starts
        environment["CUDA_VISIBLE_DEVICES"] = visible
    return f"{json.dumps({'run': str(folder.absolute()), 'environment': environment})}\n".encode()


def receive_work(channel: socket.socket) -> str:
    """Read such a line, set this process's environment to the launcher's, and return the folder of the run.

    Returns:
        "" if the launcher has gone without a word.
    """
    with channel.makefile("rb") as lines:
        line = lines.readline()
    if not line.endswith(b"\n"):
        return ""
    order = json.loads(line)
    os.environ.clear()
    os.environ.update(order["environment"])
    share_cores()
    return order["run"]
