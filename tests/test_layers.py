"""The package keeps its layers apart, stays light until torch is needed, and every module imports."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import app
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
    "tinylab.jobs.admission",
    "tinylab.jobs.checks",
    "tinylab.jobs.compare.check",
    "tinylab.jobs.cost.check",
    "tinylab.jobs.evaluate.check",
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
    assert stated[0] >= {"config", "files"}
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


# The rules for tinylab and app together.
ALL_FILES = [*FILES, *sorted(Path(app.__file__).parent.rglob("*.py"))]
MODULES = {module_name(file): file for file in ALL_FILES}


def app_layers() -> list[set[str]]:
    """The layers as the app's docstring states them, lowest first."""
    line = next(line for line in (app.__doc__ or "").splitlines() if "<-" in line)
    return [set(re.findall(r"\w+", part)) for part in line.split("<-")]


def test_imports_point_down_the_layers_of_the_app() -> None:
    places = {name: index for index, layer in enumerate(app_layers()) for name in layer}
    parts = {name: name.split(".")[1] for name in MODULES if re.match(r"app\.(?!__main__)", name)}
    assert set(parts.values()) == set(places), "name every part of the app in app/__init__.py"
    upward = [
        (name, imported)
        for name, part in parts.items()
        for imported in imports(MODULES[name])
        if imported.startswith("app.") and places.get(imported.split(".")[1], 0) > places[part]
    ]
    assert upward == []


def test_no_circle_of_imports() -> None:
    graph = {name: imported_modules(name) for name in MODULES}
    while free := {name for name, others in graph.items() if not others}:  # those that need nothing of what is left
        graph = {name: others - free for name, others in graph.items() if name not in free}
    assert graph == {}, "each of these modules is in a circle of imports, or imports one that is"


def imported_modules(name: str) -> set[str]:
    """The other modules of tinylab and app that a module imports: a module itself, or the one that has the name."""
    found = imports(MODULES[name])
    return {each if each in MODULES else each.rpartition(".")[0] for each in found} & set(MODULES) - {name}


def test_folders_have_at_most_25_files_on_one_level() -> None:
    folders = {file.parent for file in ALL_FILES}
    counts = {str(folder): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > 25} == {}


def test_a_file_of_fewer_than_25_lines_is_a_package_face_or_shared_below_several_modules() -> None:
    files = [name for name, file in MODULES.items() if file.stem not in ENTRANCES]
    short = {name for name in files if len(MODULES[name].read_text().splitlines()) < 25}
    importers = {name: [other for other in MODULES if name in imported_modules(other)] for name in short}
    slivers = {name: found for name, found in importers.items() if name.startswith("app.") or len(found) < 2}
    assert slivers == {}, "let the file that imports it, or one with the same subject, take it in"
