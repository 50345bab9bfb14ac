"""How Tinylab runs its own packages in another process, whatever lies in the working folder."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path

__all__ = ["module_command", "module_environment"]


def module_command(module: str, *arguments: str) -> list[str]:
    """Python's `-m MODULE`, without the working folder on its path: an `app.py` there is not ours."""
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment() -> dict[str, str]:
    """The environment for `module_command`: the folder that holds our packages is on the path, installed or not."""
    home = str(Path(__file__).resolve().parents[2])
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = given if home in (*site.getsitepackages(), site.getusersitepackages(), *given) else [home, *given]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
