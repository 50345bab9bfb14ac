"""Stand-ins for what an image brings along: a clean Python of its version, and tini."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from image.reading import CannotDo

__all__ = ["bring_package", "bring_python", "pip_settings"]

_ASK = """
import json, os, pip, sys, sysconfig
paths = sysconfig.get_paths()
shared = sysconfig.get_config_var("Py_ENABLE_SHARED")
library = os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
print(json.dumps({
    "version": sys.version_info[:2], "stdlib": paths["stdlib"], "program": os.path.realpath(sys.executable),
    "library": library if shared and os.path.isfile(library) else "", "pip": os.path.dirname(pip.__file__),
}))
"""
_LEFT_OUT = ("site-packages", "dist-packages", "test", "idlelib", "turtledemo", "EXTERNALLY-MANAGED", "config-3*")


def bring_python(image: str, root: Path) -> Path:
    """Copy the Python that an image `python:X.Y…` has to `root`, with pip and no other package; its program."""
    wanted = re.match(r"python:(\d+)\.(\d+)", image)
    if not wanted:
        raise CannotDo(f"FROM {image}: only images of python:X.Y are known here")
    found = _ask(f"python{wanted[1]}.{wanted[2]}") or _ask(sys.executable)
    if not found:
        raise CannotDo(f"there is no Python {wanted[1]}.{wanted[2]} with pip on this machine")
    if found["version"] != [int(wanted[1]), int(wanted[2])]:
        print(
            f"  note: no Python {wanted[1]}.{wanted[2]} here; {'.'.join(map(str, found['version']))} stands in for it"
        )
    name = f"python{found['version'][0]}.{found['version'][1]}"
    home = root / "usr/local"
    shutil.copytree(found["stdlib"], home / "lib" / name, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    (home / "bin").mkdir()
    program = home / "bin" / name
    shutil.copy2(found["program"], program)
    if found["library"]:
        shutil.copy2(found["library"], home / "lib")
    for alias in ("python3", "python"):
        (home / "bin" / alias).symlink_to(name)
    packages = _packages_folder(program, home)
    shutil.copytree(found["pip"], packages / "pip")
    return program


def _ask(program: str) -> dict | None:
    try:
        told = subprocess.run([program, "-c", _ASK], capture_output=True, text=True, check=True, cwd="/").stdout
        return json.loads(told)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def _packages_folder(program: Path, home: Path) -> Path:
    environment = {"LD_LIBRARY_PATH": str(home / "lib")}
    script = "import site; print(site.getsitepackages()[0])"
    told = subprocess.run([program, "-c", script], capture_output=True, text=True, check=True, env=environment)
    folder = Path(told.stdout.strip())
    if not folder.is_relative_to(home):
        raise CannotDo(f"the copied Python looks for packages in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pip_settings() -> dict[str, str]:
    """What pip is told on this machine (its index above all), as variables that hold for any user."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    settings = {}
    for _, name, value in re.findall(r"^(global|install)\.([\w-]+)='(.*)'$", told, flags=re.MULTILINE):
        settings[f"PIP_{name.replace('-', '_').upper()}"] = value.replace("\\n", " ")
    return settings | {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


def bring_package(name: str, root: Path) -> bool:
    """Whether apt knows a package; where it can be fetched it is unpacked below `root`, not installed."""
    if not shutil.which("apt-get"):
        print(f"  note: no apt here; that the package {name} exists was not checked")
        return True
    if not _knows(name) and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True, check=False)
    if not _knows(name):
        return False
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # apt fetches as a user of its own
        fetched = subprocess.run(["apt-get", "download", name], cwd=folder, capture_output=True, check=False)
        for file in Path(folder).glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(file), str(root)], check=True)
        if fetched.returncode:
            print(f"  note: apt knows {name}, but it could not be fetched")
    return True


def _knows(name: str) -> bool:
    return not subprocess.run(
        ["apt-get", "-s", "install", "--no-install-recommends", name], capture_output=True, check=False
    ).returncode
