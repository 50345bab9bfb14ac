"""A request is admitted once: on the way from the command to the result every header is read a single time."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tinylab.cli import main
from tinylab.config import SearchConfig
from tinylab.files import tensor_file
from tinylab.jobs import admission
from tinylab.jobs.execute import execute, start_run
from tinylab.models.catalog import describe_model
from tinylab.runs.run import Run
from tinylab.training.trackers import check_tracking

COUNTED = (describe_model, admission.check, admission.check_sharing, check_tracking)
WALKS = {
    "search": ("--steps", "2", "--batch-size", "4", "--log-every", "1"),
    "finetune": ("--indices", "0,2", "--steps", "2", "--batch-size", "4", "--snapshot-every", "0"),
    "prune": ("--method", "first"),
    "sample": ("--n", "2", "--steps", "2"),
}


@pytest.fixture
def settled_model(tiny_folder: str) -> Path:
    """A model folder that was written a while ago: what was changed just now is always read again."""
    for file in Path(tiny_folder).iterdir():
        os.utime(file, (1e9, 1e9))
    return Path(tiny_folder)


@pytest.fixture
def headers(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the header of each file was read from the disk."""
    found, read = Counter[str](), tensor_file._read_layout

    def counting(path: Path) -> Any:
        found[str(path)] += 1
        return read(path)

    monkeypatch.setattr(tensor_file, "_read_layout", counting)
    return found


def calls_during(work: Callable[[], object]) -> dict[str, int]:
    """How often each of the `COUNTED` functions was called, by whomever."""
    names = {function.__code__: function.__name__ for function in COUNTED}
    found = dict.fromkeys(names.values(), 0)

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code in names:
            found[names[frame.f_code]] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("kind", WALKS)
def test_from_the_command_to_the_result_everything_is_learned_once(
    kind: str, settled_model: Path, tmp_path: Path, headers: Counter[str]
) -> None:
    out = tmp_path / "runs" / "walk"
    command = [kind, "--model", str(settled_model), "--threads", "1", "--quiet", "--out", str(out), *WALKS[kind]]
    calls = calls_during(lambda: main(command))
    assert Run.open(out).status().state == "finished"
    assert calls == {"describe_model": 1, "check": 1, "check_sharing": 1, "check_tracking": 1}
    assert headers.pop(str(settled_model / "diffusion_pytorch_model.safetensors")) == 1
    assert set(headers.values()) <= {1}  # of other files, such as the digit reader


def test_what_was_read_of_a_relative_path_holds_for_the_pinned_one(
    settled_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(settled_model.parent)
    config = SearchConfig.create(model=settled_model.name)
    found: list[admission.Admitted] = []
    assert calls_during(lambda: found.append(admission.admit(config)))["describe_model"] == 1
    pinned = found[0].config.model_dump()["model"]
    assert pinned == str(settled_model)
    assert calls_during(lambda: found[0].facts.model(pinned))["describe_model"] == 0
    assert found[0].facts.model(pinned).name == pinned


def test_a_run_that_goes_on_in_another_process_is_checked_there(settled_model: Path) -> None:
    run = start_run(SearchConfig.create(model=str(settled_model), steps=2, batch_size=4, threads=1))
    calls = calls_during(lambda: execute(run, quiet=True))  # nothing is handed over, as in a worker
    assert calls == {"describe_model": 1, "check": 0, "check_sharing": 1, "check_tracking": 1}


def test_a_header_that_has_changed_is_read_again(settled_model: Path, headers: Counter[str]) -> None:
    weights = settled_model / "diffusion_pytorch_model.safetensors"
    describe_model(str(settled_model))
    describe_model(str(settled_model))
    assert headers[str(weights)] == 1
    os.utime(weights, (2e9, 2e9))
    describe_model(str(settled_model))
    assert headers[str(weights)] == 2
