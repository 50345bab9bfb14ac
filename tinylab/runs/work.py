"""What a process is told that is to do a job: the run, the device it is given, and the settings of its launcher."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from tinylab.runs.devices import SLOT, visible_to

__all__ = ["as_line", "read_work"]

_OURS = "TINYLAB_"  # environment variables that may differ between the launcher and a process that was there before


def as_line(folder: Path, slot: int) -> bytes:
    """The line that says: do the job of the run in `folder`, on the device with the number `slot`."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(_OURS)} | {SLOT: str(slot)}
    if visible := visible_to(slot):
        settings["CUDA_VISIBLE_DEVICES"] = visible
    return f"{json.dumps({'run': str(folder.absolute()), 'settings': settings})}\n".encode()


def read_work(channel: socket.socket) -> str:
    """Read what `as_line` made, take the settings over, and return the folder of the run.

    Returns:
        "" if the launcher has gone without a word.
    """
    with channel.makefile("rb") as lines:
        line = lines.readline()
    if not line.endswith(b"\n"):
        return ""
    work = json.loads(line)
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    os.environ.update(work["settings"])
    return work["run"]
