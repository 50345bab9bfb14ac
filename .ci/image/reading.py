"""Reading a Dockerfile and a .dockerignore."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CannotDo", "Instruction", "commands", "context_files", "copied_files", "ignored", "parse", "words"]

KNOWN = ("FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD")


class CannotDo(Exception):
    """The Dockerfile says something that is not understood here; one line says what."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name, its `--flags`, the rest as it stands, and the line that it begins in."""

    name: str
    flags: dict[str, str]
    rest: str
    line: int


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile; CannotDo for one that is not known."""
    found, waiting, begun = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        begun = begun if waiting else number
        waiting += line.strip()
        if waiting.endswith("\\"):
            waiting = waiting[:-1]
            continue
        found.append(_instruction(waiting, begun))
        waiting = ""
    if waiting:
        raise CannotDo(f"line {begun} goes on after the end of the file")
    return found


def _instruction(text: str, line: int) -> Instruction:
    name, _, rest = text.partition(" ")
    if name.upper() not in KNOWN:
        raise CannotDo(f"line {line}: {name} is not known here; known are {', '.join(KNOWN)}")
    flags, rest = {}, rest.strip()
    while flag := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
        flags[flag[1]] = flag[2]
        rest = rest[flag.end() :]
    return Instruction(name.upper(), flags, rest, line)


def commands(rest: str) -> list[list[str]]:
    """The commands of a RUN, between its `&&`."""
    parts = [shlex.split(part) for part in rest.split("&&")]
    if any(re.search(r"[;|<>`]|\$\(", part) for part in rest.split("&&")):
        raise CannotDo(f"RUN {rest}: only simple commands with && between them are known here")
    return parts


def words(rest: str) -> list[str]:
    """The words of an ENTRYPOINT, CMD or HEALTHCHECK; they must stand as JSON."""
    try:
        found = json.loads(rest)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise CannotDo(f'{rest}: write it as ["program", "argument"]')
    return found


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether a .dockerignore with these lines keeps the file out; the last line that fits decides."""
    out = False
    for pattern in patterns:
        kept, pattern = pattern.startswith("!"), pattern.lstrip("!").strip("/")
        if re.fullmatch(f"{_expression(pattern)}(/.*)?", path):
            out = not kept
    return out


def _expression(pattern: str) -> str:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern))


def context_files(root: Path) -> list[str]:
    """What a build of this folder would see: what git knows or would take, without what .dockerignore keeps out."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    lines = (root / ".dockerignore").read_text().splitlines()
    patterns = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return sorted(path for path in set(listed) if path and (root / path).is_file() and not ignored(path, patterns))


def copied_files(source: str, context: list[str]) -> list[str]:
    """Which files of a build's context a COPY of `source` takes; CannotDo where there is none."""
    inside = "" if source == "." else f"{source.strip('/')}/"
    files = [path for path in context if path == source or path.startswith(inside)]
    if not files:
        raise CannotDo(f"COPY {source}: there is no such file, or .dockerignore keeps it out")
    return files
