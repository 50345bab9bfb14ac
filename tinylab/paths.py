"""The two folders that Tinylab knows by itself."""

import os
from pathlib import Path

__all__ = ["assets_folder", "exists", "runs_folder"]


def assets_folder() -> Path:
    """Where the built-in models lie: `assets/` beside the package, or $TINYLAB_ASSETS."""
    return Path(os.environ.get("TINYLAB_ASSETS") or Path(__file__).resolve().parent.parent / "assets")


def exists(path: Path) -> bool:
    """Whether something readable is at `path`; False, not an error, for names that no file can have."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def runs_folder() -> Path:
    """Where runs go that were given no folder: `runs/` below the working folder, or $TINYLAB_RUNS."""
    return Path(os.environ.get("TINYLAB_RUNS") or "runs").absolute()
