"""Whether the steps of the Dockerfile have passed as they stand and need not be done again; and a brief check."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from image.reading import CannotDo, commands, context_files, copied_files, ignored, parse, words

__all__ = ["PASSED", "check_briefly", "digest", "has_passed", "note_passed"]

PASSED = ".ci/image/passed"  # the digest of what passed last; committed
_BUILT_FROM = ("build-system", "project", "tool.setuptools")  # what pip reads of pyproject.toml


def digest(root: Path) -> str:
    """One number for all that decides how the steps go: the Dockerfile, what it installs, and the check itself.

    The sources of the lab are no part of it: the tests run them, and `check_briefly` looks for those that are named.
    """
    patterns = (root / ".dockerignore").read_text().split()
    files = [root / "Dockerfile", root / ".dockerignore", root / ".ci/dockerfile"]
    files += [file for file in root.glob("requirements*.txt") if not ignored(file.name, patterns)]
    files += (root / ".ci/image").glob("*.py")
    parts = {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    for name in _BUILT_FROM:
        found = settings
        for key in name.split("."):
            found = found.get(key, {})
        parts[name] = json.dumps(found, sort_keys=True)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def has_passed(root: Path) -> bool:
    """Whether the steps passed with the files as they are now."""
    kept = root / PASSED
    return kept.is_file() and kept.read_text().strip() == digest(root)


def note_passed(root: Path, passed: str) -> None:
    """Keep the digest of what has passed, as it was before the steps began. For the check alone to call."""
    (root / PASSED).write_text(f"{passed}\n")


def check_briefly(root: Path) -> None:
    """CannotDo unless all instructions are understood, what is copied is there, and what is started can be imported."""
    context = context_files(root)
    command: list[str] = []
    for instruction in parse((root / "Dockerfile").read_text()):
        if instruction.name == "COPY":
            for source in instruction.rest.split()[:-1]:
                copied_files(source, context)
        elif instruction.name == "RUN":
            commands(instruction.rest)
        elif instruction.name == "HEALTHCHECK":
            words(instruction.rest.partition("CMD ")[2])
        elif instruction.name == "ENTRYPOINT":
            words(instruction.rest)
        elif instruction.name == "CMD":
            command = words(instruction.rest)
    if command[:2] != ["python", "-m"]:
        raise CannotDo(f"CMD {command}: only python -m MODULE is known here")
    _check_module(root, command[2], context)


def _check_module(root: Path, module: str, context: list[str]) -> None:
    """CannotDo unless the image has the module, and importing it as `python -m` finds it goes well."""
    path = module.replace(".", "/")
    found = next((name for name in (f"{path}/__main__", path) if f"{name}.py" in context), "")
    if not found:
        raise CannotDo(f"CMD: there is no module {module}, or .dockerignore keeps it out")
    program = root / ".venv/bin/python" if (root / ".venv/installed").exists() else sys.executable
    ask = [str(program), "-c", f"import {found.replace('/', '.')}"]
    told = subprocess.run(ask, cwd=root, capture_output=True, text=True, check=False)
    if told.returncode:
        raise CannotDo(f"CMD: {module} cannot be imported:\n{told.stderr[-2000:]}")
