"""How many jobs this machine takes at once: one a GPU, or one where there is none. Free of torch."""

import contextlib
import functools
import os
import shutil
import subprocess
from pathlib import Path

from tinylab.errors import BadRequest
from tinylab.runs.status import MOST_SLOTS

__all__ = ["devices", "has_gpu", "visible_to"]

_SETTING = "TINYLAB_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")
_PATIENCE = 20.0  # seconds for nvidia-smi to answer


def devices() -> int:
    """The number of jobs that may work at once: $TINYLAB_DEVICES, else the number of GPUs, at least one.

    Raises:
        BadRequest: the setting is no such number.
    """
    given = os.environ.get(_SETTING, "").strip()
    if not given:
        return max(1, len(_gpus()))
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given) <= MOST_SLOTS:
        raise BadRequest(f"{_SETTING} is {given!r}; set it to a number of devices from 1 to {MOST_SLOTS}, or unset it")
    return int(given)


def has_gpu() -> bool:
    """Whether there is a GPU in this machine, whoever may see it."""
    return _gpus_of_machine() > 0


def visible_to(slot: int) -> str:
    """The CUDA_VISIBLE_DEVICES of the job with this number, "" to leave it as it is.

    With more jobs than GPUs they share them in turn.
    """
    gpus = _gpus()
    return gpus[slot % len(gpus)] if len(gpus) > 1 else ""


def _gpus() -> tuple[str, ...]:
    """The GPUs that jobs started here would see, by the names that CUDA_VISIBLE_DEVICES has for them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(str(number) for number in range(_gpus_of_machine()))
    names = [name.strip() for name in visible.split(",")]
    end = next((index for index, name in enumerate(names) if not name or name.startswith("-")), len(names))
    return tuple(dict.fromkeys(names[:end])) if _gpus_of_machine() else ()


@functools.cache
def _gpus_of_machine() -> int:
    """How many GPUs there are, asked once. nvidia-smi knows what a container may use, the driver knows them all."""
    if shutil.which("nvidia-smi"):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_PATIENCE, check=True)
            return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
    try:
        return len(list(_DRIVER.iterdir()))
    except OSError:
        return 0
