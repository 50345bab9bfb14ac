"""torchvision, and what needs it, can be imported beside any torch once tinylab is."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("module", ["torchvision", "torch_fidelity", "peft"])
def test_packages_that_need_it_can_be_imported(module: str) -> None:
    done = run(f"import tinylab, {module}; print({module}.__name__)")
    assert (done.returncode, done.stdout.strip()) == (0, module), done.stderr


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    done = run("import sys, tinylab; print('torch' in sys.modules, 'torchvision' in sys.modules)")
    assert done.stdout.split() == ["False", "False"]


def test_the_finder_leaves_when_it_has_done_its_work() -> None:
    code = "import sys, tinylab; n = len(sys.meta_path); import torchvision; print(n - len(sys.meta_path))"
    assert run(code).stdout.strip() == "1"
