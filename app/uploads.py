"""Checkpoints that people upload: safetensors alone, read by a process of their own, kept as model folders."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

from app.house import house
from app.references import uploads_folder
from app.visitors import Visitor
from tinylab.errors import BadRequest
from tinylab.interpreter import module_command, module_environment

__all__ = ["convert_upload", "largest_upload"]

_LARGEST = 4 * 2**30  # bytes; a DiT-XL/2 takes 2.7 GB
_PATIENCE = 600  # seconds; a DiT-XL/2 takes one minute
_ENDING = ".safetensors"


def largest_upload() -> int:
    """Bytes of the largest file that is taken."""
    return house().limits.upload * 2**20 if house().public else _LARGEST


def convert_upload(file: Path, visitor: Visitor) -> tuple[str, list[str]]:
    """Make a model folder of an uploaded published checkpoint; its path, and what was assumed about it.

    The same file is converted once.

    Raises:
        BadRequest: not a safetensors file, damaged, or no model that is known.
    """
    if not visitor.known:
        raise BadRequest(
            "this browser keeps no cookie for the lab, so it could not find its upload again; allow it one"
        )
    if file.suffix.lower() != _ENDING:
        raise BadRequest(f"only {_ENDING} files can be uploaded; `tinylab convert` reads a .pt on your own machine")
    folder = uploads_folder(visitor) / f"{_plain(file.stem)}-{_digest(file)[:12]}"
    if folder.is_dir():
        return str(folder), []
    command = module_command("tinylab", "convert", str(file), "--out", str(folder), "--json")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, env=module_environment())
    except subprocess.TimeoutExpired:
        raise BadRequest(f"{file.name} takes too long to read; convert it with `tinylab convert`") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["it cannot be read"]
        raise BadRequest(said[0].removeprefix("tinylab: ").replace(str(file), file.name))
    return str(folder), json.loads(done.stdout).get("notes", [])


def _plain(name: str) -> str:
    """A name that is safe in a path."""
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip(".-")[:60] or "model"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
