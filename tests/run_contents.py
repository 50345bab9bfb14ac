"""What a run came to, in a form in which two runs can be held against each other bit for bit."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["checkpoints_of", "differences", "leftovers"]

_OWN = ("lock", "log.txt", "status.json", "origin.json", "metrics.db")  # say when and where, not what


def differences(run: Path, reference: Path) -> list[str]:
    """What is not the same in two finished runs; [] if they agree but for the clock."""
    ours, theirs = _contents(run), _contents(reference)
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def leftovers(run: Path) -> list[str]:
    """Files of writes that did not end."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.name.startswith("."))


def checkpoints_of(run: Path) -> list[str]:
    """The checkpoints that lie in checkpoints/ and below, half-written ones and all, the oldest first."""
    return sorted(str(path.relative_to(run / "checkpoints")) for path in run.glob("checkpoints/**/*step-*/"))


def _contents(run: Path) -> dict[str, Any]:
    """Digests of model, plan, checkpoints and pictures; the result and all rows of the metrics as they are."""
    contents: dict[str, Any] = {}
    for path in (path for path in run.rglob("*") if path.is_file()):
        name = str(path.relative_to(run))
        if name == "artifacts/result.json":
            contents |= {f"result.json: {key}": value for key, value in json.loads(path.read_text()).items()}
        elif name == "model/README.md":
            contents[name] = re.sub(r"in \d+ minute", "in # minute", path.read_text())
        elif name not in _OWN:
            contents[name] = sha256(path.read_bytes()).hexdigest()
    return contents | _rows(run / "metrics.db") | _state(run / "status.json")


def _rows(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as db:
        return {
            f"metrics.db: {table} {name} at step {step}": value
            for table in ("scalars", "vectors")
            for step, name, value in db.execute(f"SELECT step, name, value FROM {table}")
        }


def _state(path: Path) -> dict[str, Any]:
    status = json.loads(path.read_text())
    return {f"status.json: {name}": status[name] for name in ("state", "message", "step", "steps")}
