"""A run says what it was made with, wherever it is made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tinylab import __version__
from tinylab.config import TrainConfig
from tinylab.runs.run import Run


def origin(run: Run) -> dict:
    return json.loads((run.path / "origin.json").read_text())


def test_run_names_the_versions_it_was_made_with(runs: Path) -> None:
    found = origin(Run.create(runs / "a", TrainConfig.create()))
    assert found["packages"]["tinylab"] == __version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_run_can_be_made_where_git_is_not_installed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(runs))
    run = Run.create(runs / "a", TrainConfig.create())
    assert origin(run)["git"] is None
    assert run.config() == TrainConfig.create()
