"""The package keeps its layers apart, stays light until torch is needed, and every module imports."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import tinylab

ROOT = Path(tinylab.__file__).parent
ENTRANCES = {"__init__", "__main__"}  # these only lead to the layers
LIGHT = (
    "tinylab",
    "tinylab.config",
    "tinylab.registry",
    "tinylab.paths",
    "tinylab.models.catalog",
    "tinylab.runs.run",
    "tinylab.runs.metrics_db",
    "tinylab.reports.report",
    "tinylab.jobs.checks",
    "tinylab.metrics.fidelity.names",
    "tinylab.metrics.fidelity.settings",
)


@cache
def layers() -> list[set[str]]:
    """The layers as the package's docstring states them, lowest first."""
    stated = " ".join(line for line in (tinylab.__doc__ or "").splitlines() if "<-" in line)
    return [set(re.findall(r"\w+", part)) for part in stated.split("<-")]


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(file: Path) -> set[str]:
    """Every module (or name in one) that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def place(name: str) -> int:
    """The index of a top-level module's layer. One that the docstring does not name belongs to the lowest."""
    return next((index for index, layer in enumerate(layers()) if name in layer), 0)


FILES = sorted(ROOT.rglob("*.py"))
LAYERED = [file for file in FILES if file.relative_to(ROOT).with_suffix("").parts[0] not in ENTRANCES]


def test_every_layer_is_read_from_the_docstring() -> None:
    stated = layers()
    assert len(stated) >= 7
    assert stated[0] >= {"config", "data"}
    assert "cli" in stated[-1]


def test_imports_point_down_the_layers() -> None:
    assert len(LAYERED) > 100
    guilty: dict[str, list[str]] = {}
    for file in LAYERED:
        own_place = place(file.relative_to(ROOT).with_suffix("").parts[0])
        for name in sorted(imports(file)):
            package, _, rest = name.partition(".")
            if package == "tinylab" and rest and place(rest.split(".")[0]) > own_place:
                guilty.setdefault(module_name(file), []).append(name)
    assert guilty == {}, "these modules may not import what is named; or name their layer in tinylab/__init__.py"


def test_the_library_knows_no_gradio_and_no_app() -> None:
    guilty = {
        module_name(file): name for file in FILES for name in imports(file) if name.split(".")[0] in {"gradio", "app"}
    }
    assert guilty == {}


def test_imports_leave_torch_alone() -> None:
    """One process imports them one after another: what none of them has loaded in the end, none loads alone."""
    script = (
        "import importlib, sys\n"
        f"for name in {LIGHT}:\n"
        "    importlib.import_module(name)\n"
        "    loaded = [heavy for heavy in ('torch', 'diffusers', 'sklearn', 'gradio') if heavy in sys.modules]\n"
        "    assert not loaded, f'{name} imports {loaded}'"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_every_module_imports_and_exports_what_it_says() -> None:
    for name in [module_name(file) for file in FILES if file.stem != "__main__"]:
        try:
            module = importlib.import_module(name)
        except Exception as problem:
            raise AssertionError(f"{name} cannot be imported") from problem
        missing = [exported for exported in getattr(module, "__all__", ()) if not hasattr(module, exported)]
        assert not missing, f"{name} has no {missing}"
        assert module.__doc__, f"{name} has no docstring"
