"""The repository itself: nothing is left out of a clone, everything is pinned, the Space can be built."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

SOURCES = {str(file.relative_to(ROOT)) for top in ("tinylab", "app", "tests") for file in (ROOT / top).rglob("*.py")}


def test_git_ignores_no_source_file() -> None:
    command = ["git", "check-ignore", "--no-index", *SOURCES]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ignored.returncode == 128:
        pytest.skip("not a git repository")
    assert ignored.stdout.split() == []


def test_ruff_looks_at_every_source_file() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--show-files"]
    seen = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert SOURCES - {str(Path(file).relative_to(ROOT)) for file in seen} == set()


@pytest.mark.parametrize(
    "name",
    ["requirements.txt", "requirements-dev.txt"],
)
def test_every_requirement_is_pinned(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def _pinned(*names: str) -> set[str]:
    """The import names of the packages that these files pin."""
    lines = [line for name in names for line in (ROOT / name).read_text().splitlines()]
    wanted = {_plain(line.partition("==")[0]) for line in lines if "==" in line}
    packages = metadata.packages_distributions()
    return {top for top, distributions in packages.items() if wanted & set(map(_plain, distributions))}


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _imported(file: Path) -> set[str]:
    """The packages that a file imports, at its top or in a function, without those of Python and our own."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - {"tinylab", "app"}


def test_everything_that_is_imported_is_pinned() -> None:
    """Also where another package brings it along: it might not in its next version, or in another one."""
    files = {top: sorted((ROOT / top).rglob("*.py")) for top in ("tinylab", "app", "tests")}
    used = {str(file.relative_to(ROOT)): _imported(file) for top in ("tinylab", "app") for file in files[top]}
    assert {"torch", "fastapi", "orjson", "PIL", "sklearn"} <= set().union(*used.values())
    pinned = _pinned("requirements.txt")
    assert {name: imports - pinned for name, imports in used.items() if imports - pinned} == {}
    pinned = _pinned("requirements.txt", "requirements-dev.txt")
    own = {file.stem for file in (ROOT / "space.py", *files["tests"])} | {
        folder.name for folder in (ROOT / ".ci").iterdir()
    }
    for file in (ROOT / "space.py", *files["tests"]):  # the image of a Space brings `spaces` along
        assert _imported(file) - own - pinned == set(), file.name


def test_dockerfile_copies_what_the_ignore_file_lets_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    needed = {"requirements.txt", "pyproject.toml", "README.md", "tinylab", "app", "assets"}
    assert all((ROOT / name).exists() for name in needed)
    assert needed.isdisjoint(ignored)


def test_dockerfile_runs_the_app_as_a_user_on_the_port_of_the_space() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"useradd .*--uid 1000", text)
    assert text.index("USER user") < text.index("CMD")
    assert re.search(r"GRADIO_SERVER_PORT=(\d+)", text)[1] == re.search(r"EXPOSE (\d+)", text)[1] == "7860"
