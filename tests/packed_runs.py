"""Archives of runs: small honest ones, and ways to make one that only somebody with other aims would make."""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from run_folders import make_run

from tinylab.archive.archive import pack
from tinylab.config import SearchConfig
from tinylab.runs.metrics_db import MetricsWriter
from tinylab.runs.run import Run
from tinylab.training.recorder import StepRecord

__all__ = [
    "LONG_AGO",
    "archived",
    "contents",
    "full_run",
    "metrics_file",
    "png",
    "rewritten",
    "tensor_file",
    "write_zip",
]

LONG_AGO = 1_700_000_000.0  # seconds since the epoch


def full_run(runs: Path, run_id: str = "search-1", **status: Any) -> Run:
    """A run with one file of every kind that an archive takes."""
    run = make_run(runs, SearchConfig.create(steps=3), run_id, **{"created": LONG_AGO, "steps": 3, "step": 3, **status})
    writer = MetricsWriter(run.metrics_path)
    for step in (1, 2, 3):
        writer.write(step, StepRecord({"loss": 1 / step, "odd": float("nan")}, {"keep/blocks": [0.5] * 12}))
    writer.close()
    run.write_result({"kept": {"blocks": [0, 2]}, "loss_full": 0.5})
    (run.path / "log.txt").write_text("said\n")
    (run.path / "lock").touch()
    (run.path / "owner.json").write_text('{"owner": "somebody"}')
    (run.artifacts / "samples-0.png").write_bytes(png())
    np.savez_compressed(run.artifacts / "samples-0.npz", images=np.zeros((2, 4, 4, 1), np.uint8), labels=np.arange(2))
    (run.artifacts / "candidates.csv").write_text("kept,loss\n0 1,0.5\n")
    (run.artifacts / ".result.json-x.part").write_text("{")
    run.plan_path.write_text(json.dumps({"kept": {"blocks": [0, 2]}, "depth": 12, "method": "learned"}))
    run.model_path.mkdir()
    (run.model_path / "config.json").write_text("{}")
    (run.model_path / "README.md").write_text("# A card\n")
    (run.model_path / "diffusion_pytorch_model.safetensors").write_bytes(tensor_file())
    step = run.checkpoints / "step-000000002"
    step.mkdir()
    (step / "MANIFEST.json").write_text('{"step": 2}')
    (step / "state.safetensors").write_bytes(tensor_file())
    return run


def png(width: int = 4, height: int = 4) -> bytes:
    """A grey picture."""
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, format="PNG")
    return buffer.getvalue()


def tensor_file(header: Mapping[str, Any] | None = None, data: bytes = bytes(8)) -> bytes:
    """A safetensors file of one tensor, or with another header."""
    given = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}} if header is None else header
    text = json.dumps(given).encode()
    return len(text).to_bytes(8, "little") + text + data


def archived(run: Run, target: Path, **options: Any) -> Path:
    """The archive of a run as a file."""
    target.write_bytes(b"".join(pack(run, **options)))
    return target


def contents(archive: Path) -> dict[str, bytes]:
    """The files of an archive by name."""
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def rewritten(archive: Path, change: Callable[[dict[str, bytes]], Any]) -> Path:
    """The archive after `change` has worked on its files."""
    files = contents(archive)
    change(files)
    write_zip(archive, files)
    return archive


def write_zip(target: Path, files: Mapping[str, bytes]) -> None:
    """A plain zip."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(name, data)


def metrics_file(path: Path, *statements: str, fresh: bool = True) -> bytes:
    """A metrics file that somebody has worked on by hand."""
    path.unlink(missing_ok=True)
    if fresh:
        MetricsWriter(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA writable_schema=ON")
        for statement in statements:
            db.execute(statement)
    db.close()
    return path.read_bytes()
